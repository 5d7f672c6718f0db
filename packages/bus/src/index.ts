// SPDX-License-Identifier: Apache-2.0

export { Bus, nullPublisher } from "./bus.ts";
export type { BusOptions, Publisher, PublishOptions, SubscribeOptions, Subscriber } from "./bus.ts";
export { defineEvent, MAX_CAUSES, mergeCauses } from "./event.ts";
export type { AnyEnvelope, Envelope, EnvelopeOf, EventType, Gap, Subject } from "./event.ts";
export type { Overflow, Subscription } from "./subscription.ts";
