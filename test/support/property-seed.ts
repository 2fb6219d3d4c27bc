/**
 * Which cases the properties try. A plain run tries the same ones each time, so that it fails for what changed and for nothing
 * else; `--all` looks for new ones; `SYNCLINE_TEST_SEED` names them.
 */
import * as fc from "fast-check";

const FIXED = 0x5c11e;

const named = process.env["SYNCLINE_TEST_SEED"];
if (named !== undefined) fc.configureGlobal({ seed: Number(named) });
else if (process.env["SYNCLINE_TEST_ALL"] === undefined) fc.configureGlobal({ seed: FIXED });
