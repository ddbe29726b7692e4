// Writes the dashboard as TypeScript that compiles only if it, its panels' options and their fields are of Grafana's types.
import { readFileSync, writeFileSync } from "node:fs";

const dashboard = JSON.parse(readFileSync("../netfwd.json", "utf8"));
const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]).filter(({ type }) => type !== "row");
const kinds = [...new Set(panels.map(({ type }) => type))];

const lines = [
  'import type { Dashboard } from "@grafana/schema";',
  // The package does not export the options of panels.
  ...kinds.map((kind) => `import type * as ${kind} from "./node_modules/@grafana/schema/dist/types/raw/composable/${kind}/panelcfg/x/types.gen";`),
  // In JSON an enumeration is its string.
  "type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;",
  `export const dashboard = ${JSON.stringify(dashboard, null, 2)} satisfies Json<Dashboard>;`,
];
for (const { type, options, fieldConfig } of panels) {
  lines.push(`void (${JSON.stringify(options)} satisfies Json<${type}.Options>);`);
  const { custom } = fieldConfig.defaults;
  if (custom) {
    lines.push(`void (${JSON.stringify(custom)} satisfies Json<Partial<${type}.FieldConfig>>);`);
  }
}
writeFileSync("dashboard.ts", `${lines.join("\n")}\n`);
