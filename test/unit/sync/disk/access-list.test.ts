/** What an access list means for the mode of a file that is written without it. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { modeWithoutList } from "../../../../src/sync/disk/access-list.ts";
import { ACCESS_ACL, ACL_TAG, encodeAcl } from "../../../../src/format/files/acl.ts";

const { owner, user, owningGroup, mask, other } = ACL_TAG;

test("the group gets the rights that the list gave it, limited by the mask", () => {
  const rights = fc.integer({ min: 0, max: 7 });
  fc.assert(
    fc.property(rights, rights, fc.boolean(), (group, shown, hasMask) => {
      const entry = (tag: number, permissions: number, id = 0xffff_ffff) => ({ tag, permissions, id });
      const named = hasMask ? [entry(user, 7, 61_001)] : [];
      const masked = hasMask ? [entry(mask, 7)] : [];
      const list = encodeAcl([entry(owner, 6), ...named, entry(owningGroup, group), ...masked, entry(other, 0)]);
      const expected = hasMask ? group & shown : shown;
      expect(modeWithoutList(0o600 | (shown << 3), new Map([[ACCESS_ACL, list]]))).toBe(0o600 | (expected << 3));
    }),
  );
});

test("a damaged list never adds rights, and takes only the group's", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 0o777 }), (bytes, mode) => {
      const without = modeWithoutList(mode, new Map([[ACCESS_ACL, bytes]]));
      expect([without & ~mode, (without ^ mode) & ~0o070]).toEqual([0, 0]);
    }),
  );
});
