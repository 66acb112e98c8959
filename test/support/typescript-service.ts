import { join } from 'node:path';

import ts from 'typescript';

import { ROOT } from './root.js';

const FILE = join(ROOT, 'test', 'snippet.ts');

/** What an editor has to say of code that uses the library: in one process, because the first answer takes seconds. */
export class TypeScriptService {
  #text = '';
  #version = 0;
  readonly #service: ts.LanguageService;

  /** @param before What stands before each piece of code. */
  constructor(private readonly before: string) {
    const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
      config: object;
    };
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
    this.#service = ts.createLanguageService({
      getCompilationSettings: () => ({ ...options, noEmit: true, noUnusedLocals: false }),
      getScriptFileNames: () => [FILE],
      getScriptVersion: (file) => (file === FILE ? String(this.#version) : '1'),
      getScriptSnapshot: (file) => {
        const text = file === FILE ? this.#text : ts.sys.readFile(file);
        return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
      },
      getCurrentDirectory: () => ROOT,
      getDefaultLibFileName: ts.getDefaultLibFilePath,
      fileExists: (file) => file === FILE || ts.sys.fileExists(file),
      readFile: (file) => ts.sys.readFile(file),
      readDirectory: (...args) => ts.sys.readDirectory(...args),
      directoryExists: (folder) => ts.sys.directoryExists(folder),
      getDirectories: (folder) => ts.sys.getDirectories(folder),
    });
  }

  /** What is wrong with it, each with what is said to explain it. */
  errorsIn(code: string): string[] {
    this.#set(code);
    const found = [...this.#service.getSyntacticDiagnostics(FILE), ...this.#service.getSemanticDiagnostics(FILE)];
    return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  }

  /** What is proposed at the `|` in it. */
  completionsIn(code: string): string[] {
    const at = code.indexOf('|');
    this.#set(code.replace('|', ''));
    const found = this.#service.getCompletionsAtPosition(FILE, this.before.length + at, {});
    return (found?.entries ?? []).map(({ name }) => name);
  }

  /** The type of the last `const` in it. */
  typeIn(code: string): string {
    this.#set(code);
    const at = this.before.length + code.lastIndexOf('const ') + 'const '.length;
    const info = this.#service.getQuickInfoAtPosition(FILE, at);
    return ts.displayPartsToString(info?.displayParts);
  }

  #set(code: string): void {
    this.#text = this.before + code;
    this.#version++;
  }
}
