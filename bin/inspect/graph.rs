//! The tape of a forward pass as a graph in DOT.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use autograd::NodeView;
use nn::Params;

use crate::written::Target;

/// The line that a file begins with.
const MARK: &str = "// made by wavetape\n";

/// Where the graph goes.
///
/// # Errors
/// If the name is not one of a graph, or the file is not ours.
pub(super) fn target(out: &Path) -> Result<Target> {
    if out.extension().is_none_or(|extension| extension != "dot" && extension != "gv") {
        let dot = out.with_extension("dot");
        bail!(
            "--graph {}: a name that ends in .dot expected; Graphviz makes pictures of it: dot -Tsvg {} -o {}",
            out.display(),
            dot.display(),
            out.with_extension("svg").display()
        );
    }
    Target::text(out, MARK)
}

/// Writes the graph: parameters under their names, ops, and the shapes of their values.
pub(super) fn write(out: &Target, title: &str, nodes: &[NodeView], params: &Params) -> Result<()> {
    out.put(format!("{MARK}{}", dot(title, nodes, params)).as_bytes())
}

fn dot(title: &str, nodes: &[NodeView], params: &Params) -> String {
    let mut text = format!(
        "digraph tape {{\n  label=\"{}\\nwhat no gradient flows into is not on the tape\";\n  labelloc=t;\n  \
         node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10];\n",
        quoted(title)
    );
    for (i, node) in nodes.iter().enumerate() {
        let name = node.marker.and_then(|marker| params.name_of_marker(marker));
        let (label, look) = match name.filter(|_| node.op == "leaf") {
            Some(name) => (name, ", style=filled, fillcolor=\"#e3ecf7\""),
            None => (node.op, ""),
        };
        let _ = writeln!(text, "  n{i} [label=\"{}\\n{}\"{look}];", quoted(label), node.shape);
        for input in &node.inputs {
            let _ = writeln!(text, "  n{input} -> n{i};");
        }
    }
    text + "}\n"
}

/// Inside of quotation marks.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use autograd::Var;
    use nn::{Context, Fill, Init};
    use tensor::Tensor;

    use super::*;

    #[test]
    fn a_tape_becomes_a_graph_of_named_parameters_ops_and_shapes() {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        let weight = init.scope("head").param("weight", [2, 3], Fill::Ones, true);
        let cx = Context::differentiate(&params);
        let x = Var::constant(Tensor::ones([3]));
        let y = cx.param(weight).mul(&x);
        let y = y.exp().add(&y);
        let nodes = cx.tape().expect("it records").nodes();
        let graph = dot("a \"title\"", &nodes, &params);
        assert_eq!(y.dims(), [2, 3]);
        for line in [
            "label=\"a \\\"title\\\"\\n",
            "n0 [label=\"head.weight\\n[2, 3]\", style=filled",
            "n1 [label=\"mul\\n[2, 3]\"];",
            "n0 -> n1;",
            "n2 [label=\"exp\\n[2, 3]\"];",
            "n1 -> n2;",
            "n1 -> n3;",
            "n2 -> n3;",
        ] {
            assert!(graph.contains(line), "{line} in {graph}");
        }
        assert!(graph.starts_with("digraph tape {\n") && graph.ends_with("}\n"));
    }
}
