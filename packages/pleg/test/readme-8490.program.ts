import { Bus } from "@holdfast/bus";
import { systemClock } from "@holdfast/core/node";
import { createCriClient } from "@holdfast/cri";
import { GenericPLEG, runtimeEvents } from "@holdfast/pleg";

const endpoint = process.argv[2] ?? "unix:///run/containerd/containerd.sock";
await using runtime = createCriClient({ endpoint });
const bus = new Bus({ clock: systemClock });
await using pleg = new GenericPLEG({
  runtime,
  events: runtimeEvents(runtime),
  clock: systemClock,
  publish: bus,
});
const events = bus.subscribeAll({ name: "print", capacity: 1000 });
await pleg.start();
for await (const event of events) {
  if ("data" in event) console.log(event.type, event.subject.pod, event.data);
}
