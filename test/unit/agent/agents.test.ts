/** What agents show each other, step by step: histories that once went wrong, as the property test found them. */
import { describe, expect, test } from "vitest";
import { nameFromText, nameToText } from "../../../src/base/names.ts";
import { World } from "../../support/agents-world.ts";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";

describe("agents on one bucket", () => {
  claim("a directory that others also created shows what they put into it", [
    "a makeDirectory shared/r",
    "a create shared/r/d",
    "b away",
    "b flush",
    "b makeDirectory shared/r",
    "b look shared/r",
    "b look shared/r/d",
  ]);

  claim("a directory that others also created shows what they put into it, even without a lookup by the kernel", [
    "a makeDirectory shared/r",
    "a create shared/r/d",
    "b away",
    "b flush",
    "b makeDirectory shared/r",
    "b look shared/r",
  ]);

  for (const first of ["d", "e"]) {
    claim(
      `new entries of a directory stay in it when it merges with another changed one: ${first} changed first`,
      [
        "a makeDirectory shared/d",
        "a flush",
        "b flush",
        "a rename shared/d shared/e",
        "a flush",
        ...(first === "d" ? ["b create shared/d/x"] : []),
        "b makeDirectory shared/e",
        "b makeDirectory shared/e/r",
        "b create shared/d/y",
        "b away",
        "b flush",
        "b create shared/e/r/y",
        "b look shared/e/r",
      ],
      ["shared/e/y", "shared/e/r/y"],
    );
  }

  claim("a directory removed and recreated here shows what others put into it meanwhile", [
    "a makeDirectory shared/d",
    "a create shared/d/e",
    "b makeDirectory shared/d",
    "b away",
    "b flush",
    "b removeDirectory shared/d",
    "b makeDirectory shared/d",
    "b look shared/d",
  ]);

  claim("a name in a directory that became another one is looked up again", [
    "b makeDirectory shared/p.txt",
    "b flush",
    "c makeDirectory shared/q.log",
    "c makeDirectory shared/q.log/q.log",
    "c flush",
    "c exchange shared/q.log shared/p.txt",
    "c flush",
    "b makeDirectory shared/q.log",
    "b makeDirectory shared/q.log/q.log",
    "b create shared/p.txt/r",
    "b look shared/q.log/q.log",
  ]);

  for (const how of ["before that is merged", "after a restart"]) {
    claim(`a directory created here and by others is counted once, ${how}`, [
      "a makeDirectory shared/e",
      "a flush",
      "b flush",
      "b makeDirectory shared/d",
      "b makeDirectory shared/e/r",
      "a makeDirectory shared/d",
      "a rename shared/e shared/d/e",
      "a flush",
      "b catchUp",
      ...(how === "after a restart" ? ["b restart"] : []),
      "b look shared",
    ]);
  }

  claim("a name looked up in vain in a new directory is found once the directory merges with another agent's", [
    "b look shared",
    "b look shared/e",
    "c unnamed shared/e",
    "c flush",
    "b catchUp",
    "b look shared",
    "b look shared/e",
  ]);

  claim("a directory adopted under a changed one counts what it contains", [
    "a flush",
    "b flush",
    "c catchUp",
    "c look ",
  ]);

  claim("after a rename, the old name shows what others put there meanwhile", [
    "b create shared/r",
    "c begin",
    "c save shared/r",
    "c makeDirectory shared/d",
    "b flush",
    "c catchUp",
    "c rename shared/r shared/d/r",
  ]);

  claim(
    "removing a new directory does not remove the old one that it was merged with",
    [
      "a makeDirectory shared/o",
      "a flush",
      "b flush",
      "b look shared/o",
      "a flush",
      "a rename shared/o shared/r",
      "a flush",
      "b makeDirectory shared/r",
      "b away",
      "b flush",
      "b removeDirectory shared/r",
    ],
    ["shared/r"],
  );

  claim("after a rename, the old name shows a changed file that others linked there", [
    "c flush",
    "a create shared/d",
    "a link shared/d shared/q.log",
    "a flush",
    "c create shared/d",
    "c catchUp",
    "c append shared/q.log",
    "c rename shared/d shared/p.txt",
    "c rename shared/q.log shared/d",
  ]);

  for (const replace of ["rename", "exchange"]) {
    claim(`a file moved to a name that others gave it has that name only once: ${replace}`, [
      "b flush",
      "a create shared/d",
      "a link shared/d shared/q.log",
      "a flush",
      "b create shared/q.log",
      "b catchUp",
      `b ${replace} shared/d shared/q.log`,
    ]);
  }

  claim(
    "new entries of a directory stay in it when another directory becomes the same one",
    [
      "a makeDirectory shared/d",
      "a makeDirectory shared/d/r",
      "a makeDirectory shared/e",
      "a flush",
      "b flush",
      "a rename shared/d shared/e",
      "a flush",
      "b create shared/e/p.txt",
      "b away",
      "b flush",
      "b create shared/d/r/q.log",
    ],
    ["shared/e/p.txt", "shared/e/r/q.log"],
  );

  for (const meanwhile of [
    [],
    ["create shared/d/x", "create shared/e/y"],
    ["create shared/e/y", "create shared/d/x", "create shared/e/x", "chmod shared/d"],
    ["rename shared/d shared/q", "create shared/q/x", "create shared/e/y"],
    ["rename shared/e shared/q", "create shared/q/x", "create shared/d/y"],
    ["exchange shared/d shared/e", "create shared/d/x"],
    ["rename shared/d shared/e/d", "create shared/e/d/x"],
    ["rename shared/e shared/d/e", "create shared/d/e/x"],
    ["removeTree shared/d", "create shared/e/y"],
    ["removeTree shared/e", "create shared/d/x"],
  ]) {
    for (const end of ["flush", "restart"]) {
      claim(`two new directories that merge into one stay one: ${meanwhile.join(", ")}; ${end}`, [
        "a makeDirectory shared/d",
        "a flush",
        "b makeDirectory shared/d",
        "b makeDirectory shared/d/o",
        "b makeDirectory shared/e",
        "b create shared/e/p.txt",
        "b catchUp",
        "a rename shared/d shared/e",
        "a flush",
        "b away",
        "b flush",
        ...meanwhile.map((step) => `b ${step}`),
        "b back",
        "b flush",
        `b ${end}`,
        "b look shared/e",
        "b create shared/e/w",
        "b create shared/d/w",
      ]);
    }
  }

  for (const dirty of [[], ["b create shared/d/x"]]) {
    claim(`a directory moved here is no longer counted there once a new one merges with it: ${dirty.join()}`, [
      "a makeDirectory shared/d",
      "a flush",
      "b flush",
      "b makeDirectory shared/k",
      "b makeDirectory shared/e",
      ...dirty,
      "a rename shared/d shared/e",
      "a flush",
      "b away",
      "b flush",
      "b rename shared/d shared/k/d",
      "b look shared/k",
      "b look shared/k/d",
      "b back",
      "b flush",
      "b look shared/k",
      "b look shared/k/d",
    ]);
  }

  for (const change of ["unlink shared/f", "chmod shared/f", "rename shared/f shared/q.log"]) {
    for (const end of ["flush", "restart"]) {
      claim(
        `a directory removed here comes back for a changed file that others linked into it: ${change}; ${end}`,
        [
          "a makeDirectory shared/d",
          "a create shared/f",
          "a flush",
          "b flush",
          "a link shared/f shared/d/p.txt",
          "a flush",
          "b removeDirectory shared/d",
          "b catchUp",
          `b ${change}`,
          "b away",
          "b flush",
          "b append shared/f",
          "b append shared/q.log",
          "b back",
          `b ${end}`,
          "b flush",
          "b look shared",
          "b append shared/d/p.txt",
          "b create shared/d/x",
        ],
        ["shared/d/p.txt", "shared/d/x"],
      );
    }
  }

  claim("a directory that others also created survives its removal here and shows its current contents", [
    "a flush",
    "b flush",
    "a makeDirectory shared/d",
    "b makeDirectory shared/d",
    "a flush",
    "b catchUp",
    "b away",
    "b flush",
    "b removeDirectory shared/d",
    "b forget",
    "b look shared/d",
  ]);

  // b's new shared/t becomes the directory that it has at shared/q: what is at one name in both is parted.
  for (const taken of [["makeDirectory shared/t/f"], ["create shared/p", "rename shared/p shared/t/f"]]) {
    claim(`a file that loses the conflict within its epoch is found where others have it: ${taken.join(", ")}`, [
      "a makeDirectory shared/q",
      "a create shared/q/f",
      "a flush",
      "b flush",
      "c flush",
      "b chmod shared/q",
      "b makeDirectory shared/t",
      "a rename shared/q shared/t",
      "a flush",
      "b catchUp",
      "a save shared/t/f",
      "a flush",
      "b away",
      "b flush",
      "b back",
      "b overwrite shared/q/f",
      ...taken.map((what) => `b ${what}`),
      "b flush",
    ]);
  }

  for (const looks of [["shared/n"], ["shared/n", "shared/n/x"]]) {
    claim(`a new directory that merges with an old one shows its changes to an agent that looked at ${looks.join()}`, [
      "a makeDirectory shared/o",
      "a makeDirectory shared/o/x",
      "a flush",
      "b flush",
      "b rename shared/o shared/n",
      "b flush",
      "a makeDirectory shared/o/x/e",
      "a makeDirectory shared/n",
      ...looks.map((path) => `a look ${path}`),
      "a flush",
    ]);
  }

  claim(
    "a directory removed and recreated does not end up inside what others moved into it",
    [
      "a makeDirectory shared/d",
      "a makeDirectory shared/d/d",
      "a makeDirectory shared/e",
      "a makeDirectory shared/e/e",
      "a create shared/d/p.txt",
      "a flush",
      "b flush",
      "b rename shared/d shared/e/e/d",
      "b flush",
      "a removeDirectory shared/e/e",
      "a makeDirectory shared/e/e",
      "a rename shared/e shared/d/d/e",
      "a catchUp",
      "a flush",
    ],
    ["shared"],
  );

  // b removes shared/p with all that is in it, while a moves shared/p/d elsewhere and puts something into what it moved.
  for (const [what, meanwhile, present] of [
    ["it", ["a rename shared/p/d shared/q/d", "a create shared/q/d/x"], ["shared/q/d/x"]],
    ["what is in it", ["a rename shared/p/d shared/q/d", "a create shared/q/d/e/x"], ["shared/q/d/e/x"]],
    [
      "it, in what was removed here, too",
      ["b removeDirectory shared/q", "a rename shared/p/d shared/q/d", "a create shared/q/d/x"],
      ["shared/q/d/x"],
    ],
    [
      "it, where something else is here",
      ["b create shared/q/d", "a rename shared/p/d shared/q/d", "a create shared/q/d/x"],
      ["shared/q/d/x"],
    ],
    [
      "what they moved into it",
      ["a rename shared/p/d shared/q/d", "a rename shared/o shared/q/d/o", "a create shared/q/d/o/x"],
      ["shared/q/d/o/x"],
    ],
  ] as const) {
    for (const end of ["flush", "restart"]) {
      claim(
        `a directory removed here stays removed when others move a subdirectory out and add to ${what}; ${end}`,
        [
          "a makeDirectory shared/o",
          "a makeDirectory shared/p",
          "a makeDirectory shared/p/d",
          "a makeDirectory shared/p/d/e",
          "a makeDirectory shared/q",
          "a flush",
          "b flush",
          "b removeTree shared/p",
          ...meanwhile,
          "a flush",
          "b catchUp",
          `b ${end}`,
          "b flush",
        ],
        present,
        ["shared/p"],
      );
    }
  }

  claim("a directory counts a new subdirectory once when others also created it", [
    "b makeDirectory shared/d",
    "b away",
    "b flush",
    "b makeDirectory shared/d/e",
    "b back",
    "a makeDirectory shared/d",
    "a makeDirectory shared/d/e",
    "a flush",
    "b catchUp",
    "b look shared/d",
  ]);
});

test("a rename by a kernel that has not heard of a replaced file invalidates the new name", async () => {
  const world = await World.create();
  await world.tell("a create shared/x", "a create shared/y", "a flush", "b flush");
  await world.tell("a rename shared/y shared/x", "a flush", "b catchUp");
  const [, b] = world.agents;
  if (b === undefined) throw new Error("there is no such agent");
  const { ino } = await b.mount.stat("shared");
  const told: string[] = [];
  b.vfs.onInvalidate(({ entries }) => told.push(...entries.map(({ name }) => nameToText(name))));
  await new VfsDriver(b.vfs).run((vfs) => vfs.rename(ino, nameFromText("x"), ino, nameFromText("z"), 0));
  expect(told).toContain("z");
});

/** After this all agree, and `present` are there, `absent` not. */
function claim(
  what: string,
  history: readonly string[],
  present: readonly string[] = [],
  absent: readonly string[] = [],
): void {
  test(what, async () => {
    const world = await World.create();
    await world.tell(...history);
    expect(await world.faults()).toEqual([]);
    const shown = async (path: string) => (await world.agents[0]?.mount.show(path)) !== undefined;
    for (const path of present) expect({ path, shown: await shown(path) }).toEqual({ path, shown: true });
    for (const path of absent) expect({ path, shown: await shown(path) }).toEqual({ path, shown: false });
  });
}
