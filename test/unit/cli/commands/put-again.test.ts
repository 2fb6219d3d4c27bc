/** What `put` says when a part of a directory reached the bucket. */
import { expect, test } from "vitest";
import { nameFromText } from "../../../../src/base/names.ts";
import { againText } from "../../../../src/cli/commands/put-again.ts";

const [URL, PHOTOS] = ["file:///b/photos", [nameFromText("photos")]];
const SAME = "Run the same command to continue.";

test.each([
  ["under the name of the address", "./photos/", PHOTOS, `To continue: syncline put -r ./photos/. ${URL}`],
  ["in a directory that was there", "./photos", PHOTOS.concat(PHOTOS), SAME],
  ["by its contents", "./photos/.", PHOTOS, SAME],
])("a source that went there %s continues with a command that adds nothing else", (_, source, target, text) => {
  expect(againText([source, URL], PHOTOS, target)).toBe(text);
});
