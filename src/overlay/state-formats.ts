/** The formats that a program must know to open a state that this one wrote. */
import { CHECKPOINT_VERSIONS } from "./journal/checkpoint.ts";
import { JOURNAL_VERSION } from "./journal/journal-frame.ts";
import { KINDS } from "./journal/journal-codec.ts";

export const STATE_FORMATS: readonly string[] = [
  ...CHECKPOINT_VERSIONS.map((version) => `checkpoint ${version}`),
  `journal ${JOURNAL_VERSION}`,
  ...Object.keys(KINDS).map((kind) => `record ${kind}`),
];
