// SPDX-License-Identifier: Apache-2.0

import { ManualClock } from "@holdfast/core/manual-clock";
import { FakeRuntime, streamingServer } from "@holdfast/cri-fake";

import { contractPrograms } from "./contract-pod.ts";
import { runtimeContract } from "./runtime-contract.ts";

for (const containerd of ["1.6", "1.7", "2.1"] as const)
  runtimeContract(`the fake as containerd ${containerd}`, () => {
    const clock = new ManualClock();
    const streaming = streamingServer();
    const cri = new FakeRuntime({ clock, containerd, programs: contractPrograms, criLagMs: 20, streaming });
    return Promise.resolve({
      cri,
      async close() {
        await streaming.close();
        await cri.close();
      },
      async pass<Answer>(call: Promise<Answer>): Promise<Answer> {
        const state = { settled: false };
        const over = (): void => {
          state.settled = true;
        };
        // Who waits for the answer gets its error; here it only means that time may stand still.
        call.then(over, over);
        await clock.settle();
        while (!state.settled) await clock.advance(10);
        return call;
      },
      async waitUntil(done: () => Promise<boolean>): Promise<void> {
        for (let tries = 0; !(await done()); tries++) {
          if (tries > 10_000) throw new Error("it never came");
          await clock.advance(10);
        }
      },
    });
  });
