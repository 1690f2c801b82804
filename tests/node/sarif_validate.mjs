// sarif_validate.mjs FILE...: every file against the schema of SARIF 2.1.0. Prints the number of results; fails with what is wrong.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Ajv = require("ajv");
const schema = require("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");

const ajv = new Ajv({ schemaId: "auto", allErrors: true, unknownFormats: "ignore" });
ajv.addMetaSchema(require("ajv/lib/refs/json-schema-draft-04.json"));
const valid = ajv.compile(schema);
for (const file of process.argv.slice(2)) {
  const log = JSON.parse(readFileSync(file, "utf8"));
  if (!valid(log)) {
    console.error(file, JSON.stringify(valid.errors, null, 1));
    process.exit(1);
  }
  console.log(log.runs[0].results.length);
}
