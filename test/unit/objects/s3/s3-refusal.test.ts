/** What people are told to do when an S3 server refuses. */
import { expect, test } from "vitest";
import { refusalOf } from "../../../../src/objects/s3/s3-refusal.ts";

test.each([
  {
    name: "a wallet where access keys are wanted",
    status: 403,
    code: "AccessDenied",
    wallet: true,
    hint: /auth=wallet/,
  },
  { name: "a bearer as malformed", status: 400, code: "InvalidArgument", wallet: true, hint: /auth=wallet/ },
  { name: "a key without rights", status: 403, code: "AccessDenied", wallet: false, hint: /s3:PutObject/ },
  { name: "a bucket that does not exist", status: 404, code: "NoSuchBucket", wallet: true, hint: /Make the S3 bucket/ },
  { name: "http where https is spoken", status: 400, code: "", wallet: false, hint: /http or https/ },
])("$name: the hint says what to do", ({ status, code, wallet, hint }) => {
  const error = { code, message: "", region: undefined };
  const answer = { status, headers: {}, body: new Uint8Array(), error };
  const refusal = refusalOf(answer, "to read root", { host: "s3.example", bucket: "b", wallet });
  expect(refusal.hint).toMatch(hint);
});
