/** Drills of commands, and of what listens on a network. */
import { all, drill } from "../../support/drill.ts";

drill("writing commands survive a master that is killed again and again", "riding-out.ts", all ? [] : ["4"], 600_000);
drill("all files arrive when many processes put at the same moment", "racers.ts", [all ? "32" : "8"], 300_000);
drill("get writes nothing outside its target while links are swapped in", "get-symlinks.ts", [all ? "20" : "2"]);
if (all) drill("a put of very many files resumes after it was killed", "put-portions.ts", [], 900_000);
drill("every call of a master refuses every invalid bearer", "token-table.ts", []);
if (all) drill("strangers do not keep an allowed client waiting for seconds", "strangers.ts", [], 300_000);
drill("mutated requests cause no internal error", "http-fuzz.ts", [all ? "600" : "3"], 900_000);
drill("a master accepts the next root and nothing else", "swap-rules.ts", []);
drill(
  "hostile clients get clear answers, and other clients are served",
  "hostile.ts",
  [all ? "10000" : "200"],
  600_000,
);
if (all)
  drill(
    "hostile WebDAV clients get clear answers, and other clients are served",
    "webdav-hostile.ts",
    ["10000"],
    900_000,
  );
if (process.platform === "linux") {
  drill("litmus finds nothing wrong with WebDAV", "litmus.ts", []);
  drill("litmus finds nothing wrong while another agent writes the bucket", "litmus.ts", ["--beside"]);
}
if (all) {
  drill(
    "all files arrive when many processes put to a master at the same moment",
    "racers.ts",
    ["32", "--master"],
    600_000,
  );
  drill("a master that does not compare roots loses updates", "racers.ts", ["16", "--no-cas"], 300_000);
}
