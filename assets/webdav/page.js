// What the buttons of a folder's page do: plain WebDAV requests to where the page came from.
const folder = document.body.dataset.folder;
const said = document.querySelector("#said");

function say(text) {
  said.textContent = text;
}

/** The answer, or an error with what the server says. `allowed` are statuses that the caller tells apart. */
async function call(method, href, headers = {}, body = undefined, allowed = []) {
  // Not relative to the page: its address may hold a password, and fetch refuses that.
  const answer = await fetch(location.origin + href, { method, headers, body });
  if (answer.ok || allowed.includes(answer.status)) return answer;
  if (answer.status === 423) throw new Error("It is locked by somebody, or something in it is: try again later.");
  const text = await answer.text();
  const isPlain = (answer.headers.get("content-type") ?? "").startsWith("text/plain");
  throw new Error(isPlain ? text.trim() : `The server refused this (${answer.status}).`);
}

/** Runs one action after the other; what failed is said, and the page shows what is there now when all went well. */
async function run(action) {
  try {
    if ((await action()) !== false) location.reload();
  } catch (error) {
    say(error.message);
  }
}

/** The path of a name in this folder, or undefined when nobody typed one. */
function hrefOf(name) {
  if (name === null || name === "") return undefined;
  if (name.includes("/") || name === "." || name === "..") throw new Error("A name has no slash, and is not . or ..");
  return folder + encodeURIComponent(name);
}

/** As the page shows names: control and bidi characters as what they are. */
function shown(name) {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

/** One after the other; those that fail keep none of the others, and are told in the end. */
async function upload(files) {
  const failed = [];
  for (const [index, file] of files.entries()) {
    say(`Uploading ${shown(file.name)} (${index + 1} of ${files.length})…`);
    try {
      await uploadOne(file);
    } catch (error) {
      // What cannot be read, such as a folder, fails like a connection: fetch tells it with a TypeError.
      const why = error instanceof TypeError ? "it is a folder, cannot be read, or the server is away." : error.message;
      failed.push(`${shown(file.name)}: ${why}`);
    }
  }
  if (failed.length === 0) return true;
  await refresh().catch(() => {});
  throw new Error(["Not uploaded:", ...failed].join("\n"));
}

/** The list as it is now, while what was said stays. */
async function refresh() {
  const answer = await call("GET", folder, { Accept: "text/html" });
  const now = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  now.querySelector("#said").replaceWith(said);
  document.querySelector("main").replaceWith(now);
}

async function uploadOne(file) {
  const href = hrefOf(file.name);
  const first = await call("PUT", href, { "If-None-Match": "*" }, file, [412]);
  if (first.status !== 412) return;
  // What is replaced is what was there when the question was asked.
  const etag = (await call("HEAD", href)).headers.get("etag");
  if (!confirm(`${shown(file.name)} exists already. Replace it?`)) return;
  await call("PUT", href, etag === null ? {} : { "If-Match": etag }, file);
}

async function rename({ dataset: { href, name } }) {
  const typed = prompt("New name", name);
  // Not by its address: the server encodes other characters than the browser does.
  if (typed === name) return false;
  const to = hrefOf(typed);
  if (to === undefined) return false;
  await call("MOVE", href, { Destination: location.origin + to, Overwrite: "F" });
  return true;
}

async function remove(row) {
  const { href } = row.dataset;
  const what = href.endsWith("/") ? "the folder with everything in it" : "the file";
  // As the page shows it: no name looks like another one.
  const label = row.querySelector("a").textContent;
  if (!confirm(`Delete ${label}?\nThis removes ${what}.`)) return false;
  await call("DELETE", href);
  return true;
}

async function make() {
  const href = hrefOf(prompt("Name of the new folder"));
  if (href === undefined) return false;
  await call("MKCOL", `${href}/`);
}

const ACTIONS = { rename, remove };

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.id === "make") return run(make);
  const action = ACTIONS[button?.dataset.do];
  if (action !== undefined) return run(() => action(button.closest("tr")));
});

// The list may be another one by then: it is asked for as somebody chooses.
document.addEventListener("change", ({ target }) => {
  if (target.id === "files") run(() => upload([...target.files]));
});

if (document.querySelector("#files") !== null) {
  const dropping = (isOver) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", isOver);
  };
  document.addEventListener("dragover", dropping(true));
  document.addEventListener("dragleave", dropping(false));
  document.addEventListener("drop", (event) => {
    dropping(false)(event);
    const files = [...event.dataTransfer.files];
    if (files.length > 0) run(() => upload(files));
  });
}
