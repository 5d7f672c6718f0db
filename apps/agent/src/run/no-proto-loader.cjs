// SPDX-License-Identifier: Apache-2.0
// Stands in for @grpc/proto-loader, which grpc-js loads only for channelz: it would cost 340 KB of bundle and 0.6 MB of memory.
module.exports = {};
