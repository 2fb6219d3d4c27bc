import { expect, test } from "vitest";
import { nameFromText } from "../../../../src/base/names.ts";
import { isWindowsName } from "../../../../src/sync/disk/windows-names.ts";

test.each(["NUL", "nul.txt", "CON", "Aux.c.d", "com1", "LPT9.log", "COM\u00b2", "conin$", "prn ", "nul .x"])(
  "%j is a device of Windows",
  (name) => {
    expect(isWindowsName(nameFromText(name))).toBe(false);
  },
);

test.each(["a.", "a ", "...", "a:b", "a\\b", "what?", "a*", "<", "tab\t", 'quo"te'])(
  "%j would lead elsewhere on Windows, or nowhere",
  (name) => {
    expect(isWindowsName(nameFromText(name))).toBe(false);
  },
);

test.each(["notes.txt", "null", "console", "com", "com10", "lpt", ".gitignore", "a b", "caf\u00e9", "\u65e5"])(
  "%j is a name",
  (name) => {
    expect(isWindowsName(nameFromText(name))).toBe(true);
  },
);
