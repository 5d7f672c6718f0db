// SPDX-License-Identifier: Apache-2.0

/** The journal's tables as data, for whoever opens the file. */

/** One step, in the shape that the store takes. */
export interface JournalMigration {
  readonly owner: string;
  readonly version: number;
  readonly sql: string;
}

/**
 * Names (types, pods, images) and subjects are kept once and referred to by number: an event is some 100 bytes that way and not 300.
 * `pod` 0 is the node. `segment` says which numbers were written when: age and `since` are found without an index on a clock that steps.
 * `last` of a name or subject is a number not far before the last segment that has it: a good while after that segment is trimmed, so is the name.
 * `posting` says, of each segment but the newest, where in it a name occurs: numbers from the segment's first, as JSON.
 */
export const JOURNAL_MIGRATIONS: readonly JournalMigration[] = [
  {
    owner: "journal",
    version: 1,
    sql: `
      CREATE TABLE journal_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE journal_name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, last INTEGER NOT NULL) STRICT;
      CREATE TABLE journal_subject (
        id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, last INTEGER NOT NULL,
        pod_uid TEXT NOT NULL, container TEXT NOT NULL, container_id TEXT NOT NULL
      ) STRICT;
      CREATE TABLE event (
        seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, monotonic INTEGER NOT NULL, type INTEGER NOT NULL, subject INTEGER NOT NULL,
        pod INTEGER NOT NULL, image INTEGER, causes TEXT NOT NULL, data TEXT NOT NULL
      ) STRICT;
      CREATE INDEX event_by_pod ON event (pod);
      CREATE INDEX event_by_type ON event (type);
      CREATE INDEX event_by_image ON event (image) WHERE image IS NOT NULL;
      CREATE TABLE segment (
        first INTEGER PRIMARY KEY, last INTEGER NOT NULL, rows INTEGER NOT NULL, min_at INTEGER NOT NULL, max_at INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE termination (
        seq INTEGER PRIMARY KEY, pod TEXT NOT NULL, container TEXT NOT NULL, container_id TEXT NOT NULL UNIQUE, entry TEXT NOT NULL
      ) STRICT;
      CREATE INDEX termination_by_container ON termination (pod, container);
    `,
  },
  {
    owner: "journal",
    version: 2,
    // No index on what is random: each row would write a page of its own. A subject that is met again after it was forgotten gets another row.
    sql: `
      CREATE TABLE termination_2 (
        seq INTEGER PRIMARY KEY, pod TEXT NOT NULL, container TEXT NOT NULL, container_id TEXT NOT NULL, entry TEXT NOT NULL
      ) STRICT;
      INSERT INTO termination_2 SELECT seq, pod, container, container_id, entry FROM termination;
      DROP TABLE termination;
      ALTER TABLE termination_2 RENAME TO termination;
      CREATE INDEX termination_by_container ON termination (pod, container, container_id);
      CREATE TABLE journal_subject_2 (
        id INTEGER PRIMARY KEY, text TEXT NOT NULL, last INTEGER NOT NULL,
        pod_uid TEXT NOT NULL, container TEXT NOT NULL, container_id TEXT NOT NULL
      ) STRICT;
      INSERT INTO journal_subject_2 SELECT id, text, last, pod_uid, container, container_id FROM journal_subject;
      DROP TABLE journal_subject;
      ALTER TABLE journal_subject_2 RENAME TO journal_subject;
    `,
  },
  {
    owner: "journal",
    version: 3,
    // No index that each event of a batch touches elsewhere: where a name occurs is written once for each segment, when that is full. A subject is kept once,
    // as text. The ledger's index does not hold ids of containers, which are random.
    sql: `
      DROP INDEX event_by_pod;
      DROP INDEX event_by_type;
      DROP INDEX event_by_image;
      CREATE TABLE posting (
        name INTEGER NOT NULL, segment INTEGER NOT NULL, places TEXT NOT NULL, PRIMARY KEY (name, segment)
      ) STRICT, WITHOUT ROWID;
      WITH full_segment AS (SELECT first, last FROM segment WHERE first < (SELECT max(first) FROM segment))
      INSERT OR IGNORE INTO posting (name, segment, places)
        SELECT pod, first, json_group_array(seq - first) FROM full_segment CROSS JOIN event ON seq BETWEEN first AND last GROUP BY first, pod
        UNION ALL
        SELECT type, first, json_group_array(seq - first) FROM full_segment CROSS JOIN event ON seq BETWEEN first AND last GROUP BY first, type
        UNION ALL
        SELECT image, first, json_group_array(seq - first) FROM full_segment CROSS JOIN event ON seq BETWEEN first AND last
          WHERE image IS NOT NULL GROUP BY first, image;
      CREATE TABLE journal_subject_3 (id INTEGER PRIMARY KEY, text TEXT NOT NULL, last INTEGER NOT NULL) STRICT;
      INSERT INTO journal_subject_3 SELECT id, text, last FROM journal_subject;
      DROP TABLE journal_subject;
      ALTER TABLE journal_subject_3 RENAME TO journal_subject;
      DROP INDEX termination_by_container;
      CREATE INDEX termination_by_container ON termination (pod, container);
    `,
  },
];
