/**
 * Which cases the properties try. A plain run always tries the same ones, so that only code changes make it fail; `--all`
 * tries new ones; `SYNCLINE_TEST_SEED` names them.
 */
import * as fc from "fast-check";

const FIXED = 0x5c11e;

const named = process.env["SYNCLINE_TEST_SEED"];
if (named !== undefined) fc.configureGlobal({ seed: Number(named) });
else if (process.env["SYNCLINE_TEST_ALL"] === undefined) fc.configureGlobal({ seed: FIXED });
