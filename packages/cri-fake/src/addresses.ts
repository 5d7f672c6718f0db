// SPDX-License-Identifier: Apache-2.0
//
// The addresses that sandboxes lease, as CNI's host-local does: the next free one after the last that was given.

import { RuntimeFailure } from "./failure.ts";

const OCTET = 256;
/** Of a /16: not the network's own, not the gateway's, not the broadcast's. */
const FIRST = 2;
const LAST = OCTET * OCTET - 2;

/** Who holds which address. A leak shows here. */
export class AddressPool {
  readonly #prefix: string;
  readonly #size: number;
  readonly #leases = new Map<string, string>();
  #next = FIRST;

  /** `prefix` is the first two octets, `10.88`; `size` bounds the pool. Default: all 65,533. */
  constructor(prefix = "10.88", size: number = LAST - FIRST + 1) {
    this.#prefix = prefix;
    this.#size = Math.min(size, LAST - FIRST + 1);
  }

  /** Address to holder. */
  get leases(): ReadonlyMap<string, string> {
    return this.#leases;
  }

  /** Throws what containerd says when none is free. */
  lease(holder: string): string {
    for (let tries = 0; tries < this.#size; tries++) {
      const number = this.#next;
      this.#next = FIRST + ((number - FIRST + 1) % this.#size);
      const address = `${this.#prefix}.${Math.floor(number / OCTET)}.${number % OCTET}`;
      if (this.#leases.has(address)) continue;
      this.#leases.set(address, holder);
      return address;
    }
    throw new RuntimeFailure(
      "CRI_UNKNOWN",
      `failed to setup network for sandbox "${holder}": plugin type="bridge" failed (add): failed to allocate for range 0: ` +
        "no IP addresses available in range set",
    );
  }

  release(address: string): void {
    this.#leases.delete(address);
  }
}
