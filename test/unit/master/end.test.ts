/** How a master begins and ends: TLS, one master a folder, and a stop that finishes what is under way. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { connect as connectTls } from "node:tls";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { signToken } from "../../../src/crypto/token.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { SqliteRootStore } from "../../../src/roots/sqlite-root-store.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { RawClient } from "../../support/raw-http.ts";
import { alice, startTestMaster } from "../../support/test-master.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const bytes = Buffer.from("a block");
const cid = cidOf("raw", bytes);

async function putHead(length = bytes.length): Promise<string> {
  const bearer = await signToken(alice, Math.floor(Date.now() / 1000));
  return `PUT /v0/block?cid=${cid} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: ${length}\r\n\r\n`;
}

async function refusesConnections(origin: string): Promise<boolean> {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    await once(socket, "connect");
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

describe("stopping", () => {
  test("finishes the upload under way, closes idle connections, and accepts nothing new", async () => {
    const data = await temporaryFolder();
    const master = await startTestMaster({ data });
    const idle = await RawClient.open(master.origin);
    await idle.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").answer();
    const busy = await RawClient.open(master.origin);
    busy.send(await putHead()).send(bytes.subarray(0, 3));
    // It is under way once another request behind it on the wire was answered.
    await master.call("/health");
    const stopped = master.stop();
    await idle.closed();
    expect(await refusesConnections(master.origin)).toBe(true);
    busy.send(bytes.subarray(3));
    expect(await busy.answer()).toMatchObject({ status: 200, headers: { connection: "close" } });
    await stopped;
    const again = await startTestMaster({ data });
    expect(await (await again.call(`/ipfs/${cid}?format=raw`)).text()).toBe("a block");
    await again.stop();
  });

  test("does not wait forever for a stalled sender", async () => {
    const clock = new ManualClock();
    const master = await startTestMaster({ clock });
    const bearer = await signToken(alice, Number(clock.nowNs() / 1_000_000_000n), 3600);
    const client = await RawClient.open(master.origin);
    client.send(
      `PUT /v0/block?cid=${cid} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Length: 7\r\n\r\nabc`,
    );
    await master.call("/health");
    const stopped = master.stop();
    await clock.advance(29_999);
    expect(client.socket.readyState).toBe("open");
    await clock.advance(1);
    await stopped;
    await expect(client.answer()).rejects.toThrow("the connection ended");
  });

  test("in a hurry cuts what is under way", async () => {
    const master = await startTestMaster();
    const client = await RawClient.open(master.origin);
    client.send(await putHead()).send(bytes.subarray(0, 3));
    await master.call("/health");
    const hurry = new AbortController();
    const stopped = master.stop(hurry.signal);
    hurry.abort();
    await stopped;
    await expect(client.answer()).rejects.toThrow("the connection ended");
  });
});

describe("a watch ends", () => {
  const clock = new ManualClock();
  const now = () => Number(clock.nowNs() / 1_000_000_000n);

  async function watch(seconds: number) {
    const data = await temporaryFolder();
    using roots = new SqliteRootStore(join(data, "roots.db"));
    await roots.swap({ owner: alice.wallet, bucket: "b" }, undefined, cidOf("dag-cbor", Uint8Array.of(0x80)));
    const master = await startTestMaster({ data, clock });
    const bearer = await signToken(alice, now(), seconds);
    const headers = { authorization: `Bearer ${bearer}` };
    const answer = await fetch(`${master.origin}/v1/buckets/b/watch`, { headers });
    const reader = answer.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toContain("event: root");
    const ended = async () => {
      while ((await reader?.read())?.done === false);
    };
    return { master, headers, ended };
  }

  // Well below the time after which an idle connection is closed anyway.
  test("when the master stops", { timeout: 30_000 }, async () => {
    const { master, ended } = await watch(600);
    await Promise.all([master.stop(), ended()]);
    expect(await refusesConnections(master.origin)).toBe(true);
  });

  test("when its token is revoked", async () => {
    const { master, headers, ended } = await watch(601);
    const revoked = await fetch(`${master.origin}/v1/session/revoke`, { method: "POST", headers });
    expect(revoked.status).toBe(200);
    await ended();
    await master.stop();
  });

  test("when its token expires", async () => {
    const { master, ended } = await watch(20);
    await clock.advance(19_000);
    expect((await master.call("/health")).status).toBe(200);
    await clock.advance(1_000);
    await ended();
    await master.stop();
  });
});

describe("the data folder", () => {
  test("serves one master at a time, and is free once that master has stopped", async () => {
    const data = await temporaryFolder();
    const first = await startTestMaster({ data });
    await expect(startTestMaster({ data })).rejects.toMatchObject({ code: "state_in_use" });
    await first.stop();
    const second = await startTestMaster({ data });
    await second.stop();
  });

  test("is released when the address is not available", async () => {
    const first = await startTestMaster();
    const port = Number(new URL(first.origin).port);
    const data = await temporaryFolder();
    const listen = { host: "127.0.0.1", port, tls: undefined };
    await expect(startTestMaster({ data, listen })).rejects.toMatchObject({ code: "cannot_listen" });
    const second = await startTestMaster({ data });
    await second.stop();
    await first.stop();
  });
});

describe("TLS", () => {
  const pem = (name: string) => readFileSync(new URL(`../../support/tls/${name}.pem`, import.meta.url), "utf8");
  const tls = { cert: pem("cert"), key: pem("key") };
  const start = async () => startTestMaster({ listen: { host: "127.0.0.1", port: 0, tls } });

  test("works with a certificate and key", async () => {
    const master = await start();
    const sent = request(`${master.origin}/health`, { ca: tls.cert, servername: "localhost", agent: false }).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    expect(master.origin).toMatch(/^https:/);
    expect(await text(response)).toContain('"status":"ok"');
    await master.stop();
  });

  test("plain HTTP on its port does not disturb others", async () => {
    const master = await start();
    const client = await RawClient.open(master.origin.replace("https", "http"));
    client.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.closed();
    const { port } = new URL(master.origin);
    const socket = connectTls({ host: "127.0.0.1", port: Number(port), ca: tls.cert, servername: "localhost" });
    await once(socket, "secureConnect");
    expect(socket.authorized).toBe(true);
    socket.destroy();
    await master.stop();
  });

  test("TLS 1.1 is refused", async () => {
    const master = await start();
    const { port } = new URL(master.origin);
    const socket = connectTls({
      host: "127.0.0.1",
      port: Number(port),
      ca: tls.cert,
      maxVersion: "TLSv1.1",
      minVersion: "TLSv1",
      // At its default level the client would refuse by itself.
      ciphers: "DEFAULT:@SECLEVEL=0",
    });
    await expect(once(socket, "secureConnect")).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
    await master.stop();
  });

  test("a key that does not match the certificate is refused", async () => {
    const listen = { host: "127.0.0.1", port: 0, tls: { cert: tls.cert, key: "no key" } };
    await expect(startTestMaster({ listen })).rejects.toMatchObject({ code: "config_invalid" });
  });
});
