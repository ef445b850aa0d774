// Holds the description of the API against the OpenAPI specification: `node openapi.mjs ADDRESS`.

import { Validator } from '@seriousme/openapi-schema-validator';

const description = await (await fetch(process.argv[2])).json();
const { valid, errors } = await new Validator().validate(description);
if (!valid) {
  console.error(JSON.stringify(errors, null, 2));
}
console.log(`OpenAPI ${description.openapi}: ${Object.keys(description.paths).length} paths, ${valid ? 'valid' : 'not valid'}`);
process.exit(valid ? 0 : 1);
