/** Which owners a mount shows. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shownAcl, storedAcl } from "../../../src/fuse/acl-owners.ts";
import { AS_STORED, type OwnerRule, Owners, parseOwnerMap } from "../../../src/fuse/owners.ts";
import { acl, aclText } from "../../support/acl-text.ts";

function shown(rule: OwnerRule, uid: number, gid: number) {
  const owners = new Owners(rule);
  return [owners.shownUid(uid), owners.shownGid(gid)];
}

function stored(rule: OwnerRule, uid: number, gid: number) {
  const owners = new Owners(rule);
  return [owners.storedUid(uid), owners.storedGid(gid)];
}

test("by default numbers are shown and stored as they are", () => {
  expect(shown(AS_STORED, 1000, 100)).toEqual([1000, 100]);
  expect(stored(AS_STORED, 1000, 100)).toEqual([1000, 100]);
});

test("one owner of everything changes nothing that is stored", () => {
  const rule = { kind: "all", uid: 7, gid: 8 } as const;
  expect(shown(rule, 1000, 100)).toEqual([7, 8]);
  expect(stored(rule, 1000, 100)).toEqual([1000, 100]);
});

test("one owner of everything does not change the users and groups named in lists", () => {
  const list = acl("u::rw- u:1000:rwx g::r-- g:100:r-x m::rwx o::---");
  const owners = new Owners({ kind: "all", uid: 7, gid: 8 });
  expect(shownAcl(owners, list)).toEqual(list);
  expect(storedAcl(owners, list)).toEqual(list);
});

describe("a map", () => {
  const rule = parseOwnerMap("# here and there\nuid 1000 1001\n\ngid 100 101 # the group\n");

  test("shows mapped numbers, and stores the numbers that those stand for", () => {
    expect(shown(rule, 1000, 100)).toEqual([1001, 101]);
    expect(stored(rule, 1001, 101)).toEqual([1000, 100]);
  });

  test("applies to the users and groups named in lists, in both directions", () => {
    const here = acl("u::rw- u:1001:rwx u:7:r-- g::r-- g:101:r-x m::rwx o::---");
    const there = acl("u::rw- u:1000:rwx u:7:r-- g::r-- g:100:r-x m::rwx o::---");
    expect(shownAcl(new Owners(rule), there)).toEqual(here);
    expect(storedAcl(new Owners(rule), here)).toEqual(there);
  });

  test("never shows two stored numbers as one, so nobody gets another's files or permissions", () => {
    expect(shown(rule, 1001, 101)).toEqual([1000, 100]);
    expect(stored(rule, 1000, 100)).toEqual([1001, 101]);
    const list = acl("u::rw- u:1000:rwx u:1001:r-x g::r-- m::rwx o::---");
    expect(aclText(shownAcl(new Owners(rule), list))).toBe("u::rw- u:1001:rwx u:1000:r-x g::r-- m::rwx o::---");
  });

  test("shows what a local user creates as that user's, whatever its lines", () => {
    const pairs = fc.uniqueArray(fc.tuple(fc.nat(9), fc.nat(9)), { selector: ([from]) => from, maxLength: 9 });
    const maps = pairs.filter((lines) => new Set(lines.map(([, to]) => to)).size === lines.length);
    fc.assert(
      fc.property(maps, (lines) => {
        const owners = new Owners(parseOwnerMap(lines.map(([from, to]) => `uid ${from} ${to}`).join("\n")));
        for (const [from, to] of lines) expect(owners.shownUid(from)).toBe(to);
        for (let id = 0; id < 12; id++) expect(owners.shownUid(owners.storedUid(id))).toBe(id);
      }),
    );
  });

  test("does not change other numbers", () => {
    expect(shown(rule, 5, 6)).toEqual([5, 6]);
    expect(stored(rule, 5, 6)).toEqual([5, 6]);
  });

  test.each(["uid 1", "user 1 2", "uid 1 -2", "uid 1 4294967295", "uid 1 2\nuid 1 3", "gid 1 3\ngid 2 3"])(
    "%s is refused",
    (text) => {
      expect(() => parseOwnerMap(text)).toThrow(expect.objectContaining({ code: "config_invalid" }));
    },
  );
});
