// Bundles the console into dist/: hashed files under assets/, one index.html.
// Text files are stored only as .br and .gz, made here once, so that the
// server embeds and sends them as they are.
import { build } from "esbuild";
import { readFile, writeFile, rm, mkdir, readdir, copyFile } from "node:fs/promises";
import { brotliCompressSync, gzipSync, constants } from "node:zlib";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const assets = join(dist, "assets");

for (const entry of await readdir(dist).catch(() => [])) {
  if (entry !== ".keep") await rm(join(dist, entry), { recursive: true });
}
await mkdir(assets, { recursive: true });

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  metafile: true,
  outdir: assets,
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  target: ["es2022"],
  legalComments: "none",
  loader: { ".ttf": "file", ".svg": "file" },
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
};

// GraphiQL embeds 450 kB of base64 fonts; the console uses the system's. Its
// copy of Monaco's icon font goes too: Monaco brings that as a file.
const systemFonts = {
  name: "system-fonts",
  setup(b) {
    b.onLoad({ filter: /graphiql[\\/]dist[\\/]style\.css$/ }, async (args) => ({
      contents: (await readFile(args.path, "utf8")).replace(
        /@font-face\s*\{[^}]*font-family:\s*(?:Roboto|Fira Code|codicon)[^}]*\}/g,
        "",
      ),
      loader: "css",
    }));
  },
};

const outputOf = (result, entry) => {
  for (const [file, output] of Object.entries(result.metafile.outputs)) {
    if (output.entryPoint?.endsWith(entry)) {
      return { js: toUrl(file), css: output.cssBundle && toUrl(output.cssBundle) };
    }
  }
  throw new Error(`no output for ${entry}`);
};
const toUrl = (file) => `/console/${file.replace(/\\/g, "/").replace(/^.*?dist\//, "")}`;

const workers = await build({
  ...common,
  format: "iife",
  entryPoints: {
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
});
const worker = (name) => JSON.stringify(outputOf(workers, `${name}.worker.js`).js);

const page = await build({
  ...common,
  format: "esm",
  splitting: true,
  entryPoints: { console: "src/main.tsx" },
  plugins: [systemFonts],
  define: {
    ...common.define,
    EDITOR_WORKER: worker("editor"),
    JSON_WORKER: worker("json"),
    GRAPHQL_WORKER: worker("graphql"),
  },
});
const { js, css } = outputOf(page, "src/main.tsx");

const html = (await readFile(join(here, "src/index.html"), "utf8"))
  .replace("%SCRIPT%", js)
  .replace("%STYLE%", css);
await writeFile(join(dist, "index.html"), html);
await copyFile(join(here, "src/icon.svg"), join(dist, "icon.svg"));

// The licences of what is bundled travel with it.
const packages = new Set();
for (const { metafile } of [workers, page]) {
  for (const input of Object.keys(metafile.inputs)) {
    const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input.replace(/\\/g, "/"));
    if (match) packages.add(match[1]);
  }
}
const notices = [];
for (const folder of [...packages].sort()) {
  const { name, version, license } = JSON.parse(await readFile(join(here, folder, "package.json"), "utf8"));
  const files = await readdir(join(here, folder));
  const file = files.find((f) => /^licen[cs]e/i.test(f));
  const text = file ? await readFile(join(here, folder, file), "utf8") : "";
  notices.push(`${name} ${version} (${license})\n\n${text.trim()}`);
}
await writeFile(join(dist, "licenses.txt"), notices.join(`\n\n${"-".repeat(72)}\n\n`) + "\n");

let total = 0;
for (const dir of [dist, assets]) {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (!entry.isFile() || !/\.(js|css|html|svg|txt)$/.test(entry.name)) continue;
    const file = join(dir, entry.name);
    const bytes = await readFile(file);
    const br = brotliCompressSync(bytes, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      },
    });
    const gz = gzipSync(bytes, { level: 9 });
    await writeFile(`${file}.br`, br);
    await writeFile(`${file}.gz`, gz);
    await rm(file);
    total += br.length;
  }
}
console.log(`console/dist: ${(total / 1024).toFixed(0)} kB as brotli`);
