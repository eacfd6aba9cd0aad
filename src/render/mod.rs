//! Renderers: plain YAML and Kustomize; the rendered history.
