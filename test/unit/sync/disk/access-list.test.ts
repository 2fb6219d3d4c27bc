/** Access lists, as the disk or a bucket has them. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { modeWithoutList } from "../../../../src/sync/disk/access-list.ts";
import { encodeAcl } from "../../../../src/vfs/acl.ts";

const [owner, user, owningGroup, mask, other] = [0x01, 0x02, 0x04, 0x10, 0x20] as const;
const NAME = "system.posix_acl_access";

test("without its list, a file gives its group what the list gives it within the mask", () => {
  const rights = fc.integer({ min: 0, max: 7 });
  fc.assert(
    fc.property(rights, rights, fc.boolean(), (group, shown, hasMask) => {
      const entry = (tag: number, permissions: number, id = 0xffff_ffff) => ({ tag, permissions, id });
      const named = hasMask ? [entry(user, 7, 61_001)] : [];
      const masked = hasMask ? [entry(mask, 7)] : [];
      const list = encodeAcl([entry(owner, 6), ...named, entry(owningGroup, group), ...masked, entry(other, 0)]);
      const expected = hasMask ? group & shown : shown;
      expect(modeWithoutList(0o600 | (shown << 3), new Map([[NAME, list]]))).toBe(0o600 | (expected << 3));
    }),
  );
});

test("a damaged list changes no mode but the group's bits, and gives it nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 0o777 }), (bytes, mode) => {
      const without = modeWithoutList(mode, new Map([[NAME, bytes]]));
      expect([without & ~mode, (without ^ mode) & ~0o070]).toEqual([0, 0]);
    }),
  );
});
