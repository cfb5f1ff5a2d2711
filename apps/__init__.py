"""The apps of Tradepost. Imports run one way; `make contracts` checks it (docs/architecture.md)."""
