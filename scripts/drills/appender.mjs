/**
 * Appends numbered records to files and tells on stdout what was acknowledged: "w FILE N" after write answered, "s FILE N" after
 * fsync answered. Used by the drills that kill and cut. Ends by itself when the mount goes away.
 *   node scripts/drills/appender.mjs DIR FILES
 */
import { fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";

const [dir, files] = [process.argv[2], Number(process.argv[3])];
const handles = Array.from({ length: files }, (_, index) => openSync(join(dir, `append-${index}.log`), "a"));
const counts = handles.map(() => 0);
try {
  for (let round = 0; ; round++) {
    const index = round % files;
    const number = counts[index]++;
    writeSync(handles[index], recordOf(index, number));
    writeSync(1, `w ${index} ${number}\n`);
    if (round % 3 === 0) {
      fsyncSync(handles[index]);
      writeSync(1, `s ${index} ${number}\n`);
    }
  }
} catch (error) {
  writeSync(2, `${error.code}\n`);
}

function recordOf(index, number) {
  return `${String(index).padStart(3, "0")}:${String(number).padStart(8, "0")}:${"x".repeat(50)}\n`;
}
