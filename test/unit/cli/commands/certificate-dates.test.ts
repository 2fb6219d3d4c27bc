/** What a server's start tells of its certificate's dates. */
import { expect, test } from "vitest";
import { certificateWarning } from "../../../../src/cli/commands/certificate-dates.ts";
import { makeSelfSigned } from "../../../../src/crypto/self-signed.ts";
import { seededRandom } from "../../../support/test-bucket.ts";

const DAY = 24 * 60 * 60 * 1000;
const NOW = Date.UTC(2026, 5, 15, 12);

/** A certificate that is valid between these days from now. */
const valid = (from: number, to: number) =>
  makeSelfSigned(["localhost"], NOW + from * DAY, NOW + to * DAY, seededRandom(1)).cert;

test.each([
  ["expired", valid(-100, -2), /expired on 2026-06-13/],
  ["expires within 14 days", valid(-100, 13.5), /expires in 13 days, on 2026-06-29/],
  ["expires today", valid(-100, 0.4), /expires in 0 days, on 2026-06-15/],
  ["is for later", valid(2, 100), /only from 2026-06-17/],
  ["has a chain that expired", `${valid(-100, 300)}\n${valid(-1_000, -2)}`, /expired on 2026-06-13/],
])("one that %s is told", (_, pem, text) => {
  expect(certificateWarning(pem, NOW)).toMatch(text);
});

test.each([
  ["one with more than 14 days left", valid(-100, 15)],
  ["what cannot be read", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"],
  ["no certificate", "text"],
])("nothing is told of %s", (_, pem) => {
  expect(certificateWarning(pem, NOW)).toBeUndefined();
});
