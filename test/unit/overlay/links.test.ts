import { expect, test } from "vitest";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { Links } from "../../../src/overlay/links.ts";

const link = (name: string, parent = 1) => ({ parent: parent as Ino, name: name as FileName });
const namesOf = (links: Links) => Array.from(links, ({ parent, name }) => `${parent}/${name}`);

test("names stay in the order in which they were added; one that is added again comes last", () => {
  const links = new Links();
  expect([links.size, links.first, namesOf(links)]).toEqual([0, undefined, []]);

  expect(links.add(link("a"))).toBe(true);
  expect(links.add(link("a"))).toBe(false);
  expect([links.size, links.first, namesOf(links)]).toEqual([1, link("a"), ["1/a"]]);
  expect([links.has(link("a")), links.has(link("b")), links.has(link("a", 2))]).toEqual([true, false, false]);

  expect([links.add(link("a", 2)), links.add(link("b")), links.add(link("a"))]).toEqual([true, true, false]);
  expect([links.size, namesOf(links)]).toEqual([3, ["1/a", "2/a", "1/b"]]);
  expect([links.has(link("a", 2)), links.has(link("b", 2))]).toEqual([true, false]);

  expect([links.delete(link("a")), links.delete(link("a"))]).toEqual([true, false]);
  links.add(link("a"));
  expect([links.first, namesOf(links)]).toEqual([link("a", 2), ["2/a", "1/b", "1/a"]]);
});

test("the only name can be taken away and given again", () => {
  const links = new Links([link("a")]);
  expect([links.delete(link("b")), links.delete(link("a")), links.delete(link("a"))]).toEqual([false, true, false]);
  expect([links.size, links.first]).toEqual([0, undefined]);
  links.add(link("b"));
  expect(namesOf(links)).toEqual(["1/b"]);
  links.add(link("c"));
  links.delete(link("b"));
  links.delete(link("c"));
  expect([links.size, namesOf(links)]).toEqual([0, []]);
});

test("finding a name looks at none of the others", () => {
  let looks = 0;
  const counted = (name: string) => ({
    name: name as FileName,
    get parent() {
      looks++;
      return 1 as Ino;
    },
  });
  const names = Array.from({ length: 1_000 }, (_, index) => `n${index}`);
  const links = new Links();
  for (const name of names) links.add(counted(name));
  expect(looks).toBeLessThan(5 * names.length);

  looks = 0;
  for (const name of names) expect(links.has(link(name))).toBe(true);
  for (const name of names.toReversed()) links.delete(link(name));
  expect([links.size, looks]).toEqual([0, 0]);
});
