/** Checks the Node.js version. Imports nothing, since it must load in versions that can run nothing else of ours. */

/** The first of 22 with Node-API 10, which the SQLite addon is made for (https://nodejs.org/api/n-api.html#node-api-version-matrix). */
export const NEEDED_NODE = "22.19";
export const RECOMMENDED_NODE = "24";
const NEEDED_MAJOR = 22;
const NEEDED_NODE_API = 10;

/** The fields of an error as `--json` shows it. */
interface NodeProblem {
  readonly code: "not_supported";
  readonly message: string;
  readonly hint: string;
}

/** What is wrong with these versions (`process.versions`); undefined if they can run this program. */
export function nodeProblem(versions: { readonly node: string; readonly napi?: string }): NodeProblem | undefined {
  const major = Number.parseInt(versions.node, 10);
  if (major >= NEEDED_MAJOR && Number(versions.napi) >= NEEDED_NODE_API) return undefined;
  return {
    code: "not_supported",
    message: `Node.js ${versions.node} cannot run Syncline.`,
    hint: `Install Node.js ${NEEDED_NODE} or newer, preferably ${RECOMMENDED_NODE}. In a checkout, scripts/start installs it.`,
  };
}
