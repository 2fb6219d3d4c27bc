/**
 * Appends numbered records to files and tells on stdout what was acknowledged: "w FILE N" after write answered, "s FILE N" after
 * fsync answered. Used by the drills that kill and cut. Ends by itself when the mount goes away.
 *   node scripts/drills/appender.ts DIR FILES
 */
import { fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemCodeOf } from "../../src/base/system-errors.ts";

const [dir, files] = [process.argv[2], Number(process.argv[3])];
if (dir === undefined) throw new Error("DIR is missing");
const handles = Array.from({ length: files }, (_, index) => openSync(join(dir, `append-${index}.log`), "a"));
const counts = handles.map(() => 0);
try {
  for (let round = 0; ; round++) {
    const index = round % files;
    const [handle, number = 0] = [handles[index], counts[index]];
    if (handle === undefined) throw new Error(`there is no file ${index}`);
    counts[index] = number + 1;
    writeSync(handle, recordOf(index, number));
    writeSync(1, `w ${index} ${number}\n`);
    if (round % 3 === 0) {
      fsyncSync(handle);
      writeSync(1, `s ${index} ${number}\n`);
    }
  }
} catch (error) {
  writeSync(2, `${systemCodeOf(error)}\n`);
}

function recordOf(index: number, number: number) {
  return `${String(index).padStart(3, "0")}:${String(number).padStart(8, "0")}:${"x".repeat(50)}\n`;
}
