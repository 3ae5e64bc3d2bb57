"use strict";
// Starts `lmc lsp` and lets it answer: everything that is known of the language is in the server.

const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

function program() {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  const path = vscode.workspace.getConfiguration("lmc").get("path", "lmc");
  return path.replaceAll("${workspaceFolder}", folder?.uri.fsPath ?? ".");
}

async function start() {
  const command = program();
  const server = { command, args: ["lsp"], transport: TransportKind.stdio };
  client = new LanguageClient("lmc", "lmc", server, {
    documentSelector: [
      { language: "lmspec", scheme: "file" },
      { language: "lmspec", scheme: "untitled" },
    ],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.lmspec") },
  });
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(
      `\`${command} lsp\` does not start: ${error.message ?? error}. ` +
        "Say pip install -e '.[lsp]' in the folder of lmc, or in the setting lmc.path where the command is.",
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running?.isRunning()) await running.stop();
}

async function restart() {
  await stop();
  await start();
}

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("lmc.restart", restart),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("lmc.path")) restart();
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
