/** The certificate that a server makes for itself: others read it as it was meant, and speak TLS with it. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:tls";
import { expect, test } from "vitest";
import { systemRandom } from "../../../src/base/random.ts";
import { makeSelfSigned } from "../../../src/crypto/self-signed.ts";

const BEGIN = Date.UTC(2026, 0, 31, 12);
const END = Date.UTC(2028, 3, 1);
const NAMES = ["localhost", "files.example", "127.0.0.1", "::1", "2001:db8::a:1"];

test("a self-signed certificate states its names and validity, and is signed with its own key", () => {
  const { cert, key } = makeSelfSigned(NAMES, BEGIN, END, systemRandom);
  const read = new X509Certificate(cert);
  expect(read.subject).toBe("CN=Syncline WebDAV");
  expect(read.subjectAltName).toBe(
    "DNS:localhost, DNS:files.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:2001:DB8:0:0:0:0:A:1",
  );
  expect([Date.parse(read.validFrom), Date.parse(read.validTo)]).toEqual([BEGIN, END]);
  expect(read.ca).toBe(false);
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.serialNumber).toMatch(/^01[0-9A-F]{30}$/);
  expect(key).toContain("BEGIN PRIVATE KEY");
});

test("a self-signed certificate with a year after 2049 and many names can be read", () => {
  const names = Array.from({ length: 40 }, (_, index) => `host-${index}.example`);
  const read = new X509Certificate(makeSelfSigned(names, BEGIN, Date.UTC(2051, 0, 1), systemRandom).cert);
  expect(Date.parse(read.validTo)).toBe(Date.UTC(2051, 0, 1));
  expect(read.checkHost("host-39.example")).toBe("host-39.example");
});

test("a self-signed certificate works for TLS under its names, with a client that trusts it", async () => {
  const tls = makeSelfSigned(NAMES, 0, Date.UTC(2049, 0, 1), systemRandom);
  const server = createServer(tls, (socket) => socket.end("hello"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: "127.0.0.1", port, ca: tls.cert, servername: "files.example" });
  const [hello] = (await once(socket, "data")) as [Buffer];
  expect(hello.toString()).toBe("hello");
  expect(socket.authorized).toBe(true);
  socket.destroy();
  server.close();
});
