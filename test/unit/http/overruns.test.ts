/** Clients that send very many requests without waiting for answers. */
import { EventEmitter } from "node:events";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { expect, test } from "vitest";
import { MAX_WAITING_CALLS } from "../../../src/base/limits.ts";
import { Lane } from "../../../src/http/lane.ts";
import { Overruns } from "../../../src/http/overruns.ts";
import { ManualClock } from "../../support/manual-clock.ts";

test("a connection with too many waiting requests is cut, and no more of them start", async () => {
  const socket = new Socket();
  let overruns = 0;
  const lane = new Lane(socket, () => overruns++);
  let begun = 0;
  const run = () => {
    const response = new ServerResponse(new IncomingMessage(socket));
    return lane.run(response, () => new Promise<void>(() => begun++));
  };
  for (let count = 0; count < MAX_WAITING_CALLS; count++) void run();
  expect([socket.destroyed, overruns, begun]).toEqual([false, 0, 32]);
  await run();
  await run();
  expect([socket.destroyed, overruns, begun]).toEqual([true, 1, 32]);
});

test("a stranger whose connection was cut before overruns it all the same with the rest of the read", async () => {
  const socket = new Socket();
  let overruns = 0;
  const lane = new Lane(socket, () => overruns++, 32, { tryWait: () => undefined, proved: () => {} });
  const run = () => lane.run(new ServerResponse(new IncomingMessage(socket)), () => new Promise<void>(() => {}));
  for (let count = 0; count < MAX_WAITING_CALLS; count++) void run();
  expect([socket.destroyed, overruns]).toEqual([true, 0]);
  await run();
  await run();
  expect(overruns).toBe(1);
});

test("after an overrun, connections from that address are read one by one, and others at once", async () => {
  const clock = new ManualClock();
  const overruns = new Overruns(clock);
  const connect = (remoteAddress: string) => {
    const socket = Object.assign(new EventEmitter(), { remoteAddress, read: true });
    const own = Object.assign(socket, { pause: () => (socket.read = false), resume: () => (socket.read = true) });
    overruns.admit(own as unknown as Socket);
    return own;
  };
  overruns.note("192.0.2.1");
  const [first, second, other] = [connect("192.0.2.1"), connect("192.0.2.1"), connect("192.0.2.2")];
  expect([first.read, second.read, other.read]).toEqual([false, false, true]);
  await clock.advance(100);
  expect([first.read, second.read]).toEqual([true, false]);
  await clock.advance(100);
  expect(second.read).toBe(true);
  await clock.advance(10_000);
  expect(connect("192.0.2.1").read).toBe(true);
});
