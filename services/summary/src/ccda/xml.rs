//! Walking HL7 v3 XML.

use roxmltree::Node;

use crate::{TEXT_CHARS_MAX, text};

/// The namespace of HL7 v3.
pub(super) const HL7: &str = "urn:hl7-org:v3";
/// The namespace of types (`xsi:type`).
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// What the ids of the templates of C-CDA's entries begin with.
const TEMPLATE_ROOT: &str = "2.16.840.1.113883.10.20.22.4.";

/// Returns the children with a name.
pub(super) fn children<'a>(node: Node<'a, 'a>, name: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.has_tag_name((HL7, name)))
}

/// Returns the first child with a name.
pub(super) fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name((HL7, name)))
}

/// Returns what a path of first children leads to.
pub(super) fn path<'a>(node: Node<'a, 'a>, names: &[&str]) -> Option<Node<'a, 'a>> {
    names.iter().try_fold(node, |node, name| child(node, name))
}

/// Returns an attribute that is not empty.
pub(super) fn attribute<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    node.attribute(name).map(str::trim).filter(|value| !value.is_empty())
}

/// Returns the type that a value states, without a prefix.
pub(super) fn stated_type<'a>(node: Node<'a, 'a>) -> Option<&'a str> {
    node.attribute((XSI, "type"))?.rsplit(':').next()
}

/// True for a statement that says it follows a template of an entry.
pub(super) fn has_template(node: Node<'_, '_>, id: &str) -> bool {
    node.children().any(|child| {
        child.has_tag_name((HL7, "templateId"))
            && child.attribute("root").and_then(|root| root.strip_prefix(TEMPLATE_ROOT)) == Some(id)
    })
}

/// Returns the statement with a template among those that are related to one.
pub(super) fn related<'a>(node: Node<'a, 'a>, element: &str, template: &str) -> Option<Node<'a, 'a>> {
    all_related(node, element, template).next()
}

/// Returns the statements with a template among those that are related to one.
pub(super) fn all_related<'a>(
    node: Node<'a, 'a>,
    element: &str,
    template: &str,
) -> impl Iterator<Item = Node<'a, 'a>> {
    children(node, "entryRelationship")
        .filter_map(move |relation| child(relation, element))
        .filter(move |statement| has_template(*statement, template))
}

/// True for a statement that is negated.
pub(super) fn is_negated(node: Node<'_, '_>) -> bool {
    matches!(attribute(node, "negationInd"), Some("true" | "1"))
}

/// Returns the text in an element and in those within it, on one line, up to its limit.
pub(super) fn inner_text(node: Node<'_, '_>) -> Option<String> {
    let mut words = String::new();
    for text in node.descendants().filter(Node::is_text).filter_map(|text| text.text()) {
        // Bytes are at least as many as characters, and white space of layout is no text.
        if words.len() > 8 * TEXT_CHARS_MAX {
            break;
        }
        words.extend(text::limited(text, TEXT_CHARS_MAX));
        words.push(' ');
    }
    text::limited(&words, TEXT_CHARS_MAX)
}
