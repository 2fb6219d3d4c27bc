/** A server's certificate and key belong together, or the file that does not fit is named. */
import { expect, test } from "vitest";
import { systemRandom } from "../../../src/base/random.ts";
import { makeSelfSigned } from "../../../src/crypto/self-signed.ts";
import { requirePair } from "../../../src/http/certificate.ts";

const own = makeSelfSigned(["localhost"], 0, 1e12, systemRandom);
const other = makeSelfSigned(["localhost"], 0, 1e12, systemRandom);
const FILES = { cert: "/tls/cert.pem", key: "/tls/key.pem" };

test("a certificate and its key are taken", () => {
  expect(requirePair(own, FILES)).toBe(own);
});

test.each([
  ["an empty certificate", { ...own, cert: "" }, "/tls/cert.pem holds no certificate in PEM."],
  ["an empty key", { ...own, key: "" }, "/tls/key.pem holds no unencrypted private key in PEM."],
  ["a key in place of the certificate", { ...own, cert: own.key }, "/tls/cert.pem holds no certificate in PEM."],
  [
    "the key of another certificate",
    { ...own, key: other.key },
    "The TLS key /tls/key.pem does not belong to the certificate /tls/cert.pem.",
  ],
])("%s is refused, and the file is named", (_, texts, message) => {
  expect(() => requirePair(texts, FILES)).toThrow(expect.objectContaining({ code: "config_invalid", message }));
});
