/** Modes and access control lists stay in step as on a disk that stores both, whatever is published or restarted between. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ACCESS_ACL, type Acl, ACL_TAG, encodeAcl } from "../../../src/format/files/acl.ts";
import { parseAcl } from "../../../src/vfs/acl.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const HEAVY = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const NO_ID = 0xffff_ffff;
const bits = fc.integer({ min: 0, max: 7 });
const named = (tag: number) =>
  fc.array(fc.record({ tag: fc.constant(tag), permissions: bits, id: fc.integer({ min: 0, max: 4 }) }), {
    maxLength: 3,
  });

const anyAcl: fc.Arbitrary<Acl> = fc
  .record({
    owner: bits,
    users: named(ACL_TAG.user),
    group: bits,
    groups: named(ACL_TAG.group),
    mask: bits,
    other: bits,
    extra: fc.boolean(),
  })
  .map(({ owner, users, group, groups, mask, other, extra }) => {
    const plain = (tag: number, permissions: number) => ({ tag, permissions, id: NO_ID });
    const needsMask = extra || users.length + groups.length > 0;
    const masks = needsMask ? [plain(ACL_TAG.mask, mask)] : [];
    const [first, middle, last] = [ACL_TAG.owner, ACL_TAG.owningGroup, ACL_TAG.other];
    return [[plain(first, owner)], users, [plain(middle, group)], groups, masks, [plain(last, other)]].flat();
  });

type Step = { readonly acl: Acl } | { readonly mode: number } | { readonly event: "remove" | "publish" | "restart" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ acl: anyAcl }),
  fc.record({ mode: fc.integer({ min: 0, max: 0o777 }) }),
  fc.record({ event: fc.constantFrom("remove", "publish", "restart") }),
);

/** A disk that stores a mode and a list, and rewrites one when the other changes, as ext4 does. */
class Model {
  mode = 0o644;
  acl: Acl | undefined;

  set(acl: Acl): void {
    const of = (tag: number) => acl.find((entry) => entry.tag === tag)?.permissions;
    const group = of(ACL_TAG.mask) ?? of(ACL_TAG.owningGroup) ?? 0;
    this.mode = ((of(ACL_TAG.owner) ?? 0) << 6) | (group << 3) | (of(ACL_TAG.other) ?? 0);
    this.acl = acl.length === 3 ? undefined : acl;
  }

  chmod(mode: number): void {
    this.mode = mode;
    const hasMask = this.acl?.some(({ tag }) => tag === ACL_TAG.mask);
    this.acl = this.acl?.map((entry) => {
      const { tag } = entry;
      if (tag === ACL_TAG.owner) return { ...entry, permissions: mode >> 6 };
      if (tag === ACL_TAG.other) return { ...entry, permissions: mode & 7 };
      const isGroup = tag === (hasMask ? ACL_TAG.mask : ACL_TAG.owningGroup);
      return isGroup ? { ...entry, permissions: (mode >> 3) & 7 } : entry;
    });
  }
}

test("after any changes, a list and a mode are shown as on such a disk", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 20 }), async (steps) => {
      const fs = await VfsHarness.create();
      const ino = await fs.make("f", "x");
      const model = new Model();
      for (const step of steps) {
        fs.vfs.persist();
        if ("acl" in step) {
          model.set(step.acl);
          await fs.run((vfs) => vfs.setXattr(ino, ACCESS_ACL, encodeAcl(step.acl), 0));
        } else if ("mode" in step) {
          model.chmod(step.mode);
          await fs.run((vfs) => vfs.setAttributes(ino, { mode: step.mode }));
        } else if (step.event === "remove") {
          model.acl = undefined;
          await fs.run((vfs) => vfs.removeXattr(ino, ACCESS_ACL));
        } else if (step.event === "publish") await fs.publish();
        else fs.restart();
        const value = await fs.run((vfs) => vfs.getXattr(ino, ACCESS_ACL));
        const { mode } = await fs.run((vfs) => vfs.getAttributes(ino));
        expect({ acl: value && parseAcl(value), mode: mode & 0o7777 }).toEqual({ acl: model.acl, mode: model.mode });
      }
    }),
    { numRuns: HEAVY ? 2_000 : 100 },
  );
});
