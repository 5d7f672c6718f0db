// SPDX-License-Identifier: Apache-2.0

/**
 * Puts the kernel's report of an OOM kill, many records long, together into one fact.
 *
 * Owns: the report that is open. Reads: records in order. Invariants: a fact names a cgroup only when every record between the naming of the
 * cgroup and the killing was seen, and when both name the same process; records that a program wrote are ignored; memory is one report.
 * Lost on a crash: the open report, whose records are still in the kernel's ring.
 */
import type { KmsgRecord } from "./kmsg-record.ts";
import { parseOomLine } from "./oom-lines.ts";
import type { OomConstraint, OomLine } from "./oom-lines.ts";

/** One process that the kernel killed for want of memory. */
export interface OomFact {
  /** Sequence of the record that completed the fact. */
  readonly sequence: number;
  /** Microseconds since boot, of the same record. */
  readonly timestampUs: number;
  /** `CONSTRAINT_MEMCG`: a cgroup's limit. All others: the machine, or a part of it. */
  readonly constraint: OomConstraint;
  /** Who asked for the memory that was not there. */
  readonly invoker: string | undefined;
  readonly process: string;
  readonly pid: number;
  readonly uid: number | undefined;
  /** Where the victim was. Undefined where the kernel does not say, or not beyond doubt. kubelet: ContainerName. */
  readonly taskCgroup: string | undefined;
  /** Whose limit it was; undefined in an OOM of the machine. kubelet: VictimContainerName. */
  readonly oomCgroup: string | undefined;
  /** Resident memory of the victim: anonymous, file and shared. */
  readonly memoryBytes: number | undefined;
  /** The limit of `oomCgroup`, and what it used. */
  readonly limitBytes: number | undefined;
  readonly usageBytes: number | undefined;
  /** Killed along with the victim, by `memory.oom.group`. */
  readonly isGroupMember: boolean;
}

interface Report {
  readonly invoker: string | undefined;
  sequence: number;
  timestampUs: number;
  records: number;
  newestUs: number;
  usage: Extract<OomLine, { kind: "usage" }> | undefined;
  taskIn: Extract<OomLine, { kind: "task-in" }> | undefined;
  chosen: Extract<OomLine, { kind: "chosen" }> | undefined;
  summary: Extract<OomLine, { kind: "summary" }> | undefined;
  /** The fact that was told; the report stays open for the group's other members. */
  told: OomFact | undefined;
  group: string | undefined;
  /** Whom the group's lines named: the first victim is named again. */
  readonly pids: Set<number>;
}

/** A report of a machine with thousands of processes lists them all. Longer ones are given up: the next kill stands alone. */
const MAX_RECORDS = 65_536;
const MAX_LINE = 2048;
/** The kernel prints a report in one go; even a serial console needs no second for a line. */
const MAX_PAUSE_US = 2_000_000;

/** kubelet: oomparser.StreamOoms, with the kill line's memory, groups, and reports cut by the kernel's rate limit. */
export class OomAssembler {
  #report: Report | undefined;
  #line = "";
  #nextSequence: number | undefined;

  /** Takes the next record; returns what it completed. Never throws. A jump of the sequence is a gap. */
  push(record: KmsgRecord): readonly OomFact[] {
    const isGap = this.#nextSequence !== undefined && record.sequence !== this.#nextSequence;
    const before = isGap ? this.gap() : [];
    this.#nextSequence = record.sequence + 1;
    // Whoever may write into /dev/kmsg could blame anyone; the kernel never lets such a record pass as its own.
    if (record.facility !== 0) return before;
    this.#line = (record.isContinuation ? this.#line + record.message : record.message).slice(0, MAX_LINE);
    const line = parseOomLine(this.#line);
    const cut = this.#isCut(record, line !== undefined) ? this.#close() : [];
    if (line === undefined && before.length + cut.length === 0) return before;
    return [...before, ...cut, ...(line === undefined ? [] : this.#take(line, record))];
  }

  /** Records are missing here: what is open is told as far as it is certain. */
  gap(): readonly OomFact[] {
    this.#nextSequence = undefined;
    this.#line = "";
    return this.#close();
  }

  /** Whether a victim is named and its kill line is still to come. */
  get isPending(): boolean {
    return this.#report?.summary !== undefined && this.#report.told === undefined;
  }

  /** Tells the pending victim without the rest: its kill line never came. */
  flush(): readonly OomFact[] {
    return this.isPending ? this.#close() : [];
  }

  #take(line: OomLine, record: KmsgRecord): readonly OomFact[] {
    switch (line.kind) {
      case "invoked": {
        const facts = this.#close();
        this.#report = newReport(line.invoker, record);
        return facts;
      }
      case "summary": {
        const facts = this.#startOver(({ summary, taskIn }) => (summary ?? taskIn) !== undefined, record);
        // The report's beginning may be missing: the line says enough by itself.
        this.#report ??= newReport(undefined, record);
        this.#report.summary = line;
        this.#report.sequence = record.sequence;
        this.#report.timestampUs = record.timestampUs;
        return facts;
      }
      case "no-victim":
        return this.#close();
      case "killed":
        return this.#kill(line, record);
      case "task-in": {
        const facts = this.#startOver(({ summary, taskIn }) => (summary ?? taskIn) !== undefined, record);
        if (this.#report !== undefined) this.#report.taskIn = line;
        return facts;
      }
      case "usage": {
        const facts = this.#startOver(({ usage, summary }) => (usage ?? summary) !== undefined, record);
        if (this.#report !== undefined) this.#report.usage = line;
        return facts;
      }
      case "chosen": {
        const facts = this.#startOver(({ chosen }) => chosen !== undefined, record);
        if (this.#report !== undefined) this.#report.chosen = line;
        return facts;
      }
      case "group":
        if (this.#report?.told !== undefined) this.#report.group = line.cgroup;
        return [];
      default:
        return line satisfies never;
    }
  }

  /** Whether the open report cannot go on here: too long, or a step in time, either way, that the kernel does not make in the middle of one. */
  #isCut({ timestampUs }: KmsgRecord, isOomLine: boolean): boolean {
    const report = this.#report;
    if (report === undefined) return false;
    const pauseUs = timestampUs - report.newestUs;
    report.newestUs = Math.max(report.newestUs, timestampUs);
    return ++report.records > MAX_RECORDS || pauseUs > MAX_PAUSE_US || (isOomLine && pauseUs < -MAX_PAUSE_US);
  }

  /** A line that a report has once, or has before what it has already, is another report's, whose beginning was not seen. */
  #startOver(isOver: (report: Report) => boolean, record: KmsgRecord): readonly OomFact[] {
    const report = this.#report;
    if (report === undefined || !(report.told !== undefined || isOver(report))) return [];
    const facts = this.#close();
    this.#report = newReport(undefined, record);
    return facts;
  }

  #kill(line: Extract<OomLine, { kind: "killed" }>, record: KmsgRecord): readonly OomFact[] {
    const report = this.#report;
    if (report?.told !== undefined) {
      if (report.group !== undefined) return groupKill(report, report.group, line, record);
      // No header of its own: the kernel's rate limit kept it back. Nothing of the last report is true of it.
      this.#report = undefined;
      return [bareFact(line, record)];
    }
    if (report === undefined) return [bareFact(line, record)];
    const fact = killedFact(report, line, record);
    if (fact !== undefined) {
      report.told = fact;
      report.pids.add(fact.pid);
      return [fact];
    }
    // The line belongs to another kill than the report: both are told, neither borrows from the other.
    return [...this.#close(), bareFact(line, record)];
  }

  #close(): readonly OomFact[] {
    const report = this.#report;
    this.#report = undefined;
    const summary = report?.summary;
    if (report === undefined || summary === undefined || report.told !== undefined) return [];
    return [summaryFact(report, summary, undefined)];
  }
}

function newReport(invoker: string | undefined, { sequence, timestampUs }: KmsgRecord): Report {
  return {
    invoker,
    sequence,
    timestampUs,
    records: 0,
    newestUs: timestampUs,
    usage: undefined,
    taskIn: undefined,
    chosen: undefined,
    summary: undefined,
    told: undefined,
    group: undefined,
    pids: new Set(),
  };
}

type Killed = Extract<OomLine, { kind: "killed" }>;
type Summary = Extract<OomLine, { kind: "summary" }>;

function summaryFact(report: Report, summary: Summary, killed: Killed | undefined): OomFact {
  return {
    sequence: report.sequence,
    timestampUs: report.timestampUs,
    constraint: summary.constraint,
    invoker: report.invoker,
    process: summary.process,
    pid: summary.pid,
    uid: summary.uid,
    taskCgroup: summary.taskCgroup,
    oomCgroup: summary.oomCgroup,
    memoryBytes: killed?.memoryBytes,
    limitBytes: summary.constraint === "CONSTRAINT_MEMCG" ? report.usage?.limitBytes : undefined,
    usageBytes: summary.constraint === "CONSTRAINT_MEMCG" ? report.usage?.usageBytes : undefined,
    isGroupMember: false,
  };
}

/** The fact of a report and its kill line; undefined when they do not belong together. */
function killedFact(report: Report, line: Killed, record: KmsgRecord): OomFact | undefined {
  const { summary, taskIn, chosen } = report;
  const at = { sequence: record.sequence, timestampUs: record.timestampUs };
  if (summary !== undefined) {
    const isMemcg = summary.constraint === "CONSTRAINT_MEMCG";
    if (line.isMemcg !== undefined && line.isMemcg !== isMemcg) return undefined;
    const fact = { ...summaryFact(report, summary, line), ...at };
    if (line.pid === summary.pid) return fact;
    if (chosen?.pid !== summary.pid || line.isMemcg !== undefined) return undefined;
    // Kernel 5.0: a child was sacrificed. It is below the cgroup whose limit it was; where, nobody says.
    return { ...fact, pid: line.pid, process: line.process, uid: undefined, taskCgroup: summary.oomCgroup };
  }
  // Kernels that name the cause in the kill line print a summary before it; older ones say who is chosen: without that, no attribution.
  if (line.isMemcg !== undefined || chosen === undefined) return undefined;
  const { isMemcg } = chosen;
  // A memcg report names its cgroups, a machine's has none.
  if (isMemcg !== (taskIn !== undefined)) return undefined;
  const isChosen = chosen.pid === line.pid;
  return {
    ...bareFact(line, record),
    constraint: isMemcg ? "CONSTRAINT_MEMCG" : "CONSTRAINT_NONE",
    invoker: report.invoker,
    taskCgroup: isChosen ? taskIn?.taskCgroup : taskIn?.oomCgroup,
    oomCgroup: taskIn?.oomCgroup,
    limitBytes: isMemcg ? report.usage?.limitBytes : undefined,
    usageBytes: isMemcg ? report.usage?.usageBytes : undefined,
  };
}

function groupKill(report: Report, group: string, line: Killed, record: KmsgRecord): readonly OomFact[] {
  const { told, pids } = report;
  if (pids.has(line.pid)) return [];
  pids.add(line.pid);
  const member: OomFact = {
    ...bareFact(line, record),
    constraint: told?.constraint ?? "CONSTRAINT_MEMCG",
    invoker: report.invoker,
    taskCgroup: group,
    oomCgroup: told?.oomCgroup,
    limitBytes: told?.limitBytes,
    usageBytes: told?.usageBytes,
    isGroupMember: true,
  };
  return [member];
}

function bareFact(line: Killed, { sequence, timestampUs }: KmsgRecord): OomFact {
  return {
    sequence,
    timestampUs,
    constraint: line.isMemcg === false ? "CONSTRAINT_NONE" : "CONSTRAINT_MEMCG",
    invoker: undefined,
    process: line.process,
    pid: line.pid,
    uid: undefined,
    taskCgroup: undefined,
    oomCgroup: undefined,
    memoryBytes: line.memoryBytes,
    limitBytes: undefined,
    usageBytes: undefined,
    isGroupMember: false,
  };
}
