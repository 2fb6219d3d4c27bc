import { expect, test } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { RootAlarm, rootsHint } from "../../../../src/master/roots/root-alarm.ts";

test.each([
  [undefined, /^Restore the newest copy of roots\.db\./],
  ["sqlite:/srv/arbiter.db", /^Restore the newest copy of the arbiter's file\./],
  ["postgres://syncline@db.example/syncline", /^Restore PostgreSQL's newest backup, or merge .*mount URL DIR --accept/],
  ["postgresql://syncline@db.example/syncline", /^Restore PostgreSQL's newest backup/],
])("a table of roots that went back at %s: says what to restore, and how to accept it", (arbiter, restore) => {
  const hint = rootsHint(arbiter);
  expect(hint).toMatch(restore);
  expect(hint).toContain("serve --accept-roots");
  expect(hint).not.toMatch(/\/srv|db\.example/);
  expect(new RootAlarm(silentLog, arbiter).wentBack(["demo"])).toMatchObject({ code: "root_rolled_back", hint });
});
