// SPDX-License-Identifier: Apache-2.0
//
// From an RPC's parts to a method that a caller sees.

import type { Connection } from "./connection.ts";
import { method } from "./method.ts";
import type { Codec, Definition, MethodTraits } from "./method.ts";
import type { CriUnary } from "./services.ts";

/** Makes unary methods of a connection. */
export function unaryOn(
  connection: Connection,
): <Request, Response>(
  definition: Definition<Request, Response>,
  operation: string,
  request: Codec<Request>,
  response: Codec<Response>,
  traits?: MethodTraits<Request>,
) => CriUnary<Request, Response> {
  return (definition, operation, request, response, traits) => {
    const made = method(definition, operation, request, response, traits);
    return (partial, options) => connection.unary(made, partial, options);
  };
}
