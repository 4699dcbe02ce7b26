//! The parsed page: an arena of nodes, built once and then only read.
//!
//! Nodes are numbered in the order of their creation, links between them are numbers, and nothing is ever
//! freed: the whole tree goes at once. It is html5ever's sink, so it must be changeable through `&self` while
//! it is built; afterwards it is a plain [`Dom`].

use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};
use std::fmt;

use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::{Attribute, LocalName, QualName, ns};
use tendril::StrTendril;

/// A node's number; 0 is the document, which is nobody's child, and so stands for "none" in links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// The document itself.
    pub(crate) const DOCUMENT: Self = Self(0);

    /// The number as an index, for side tables as long as [`Dom::len`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    fn some(self) -> Option<Self> {
        (self != Self::DOCUMENT).then_some(self)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum NodeData {
    /// The document, or the contents of a template.
    Fragment,
    /// An element.
    Element(Element),
    /// Text.
    Text(StrTendril),
    /// Comments, doctypes and processing instructions: nothing that anybody reads.
    Nothing,
}

/// An element's name and attributes.
#[derive(Debug)]
pub(crate) struct Element {
    name: QualName,
    attributes: Vec<Attribute>,
    template: NodeId,
    mathml_integration_point: bool,
}

impl Element {
    /// Its local name if it is an HTML element; an SVG `a` is not a link.
    pub(crate) fn html_name(&self) -> Option<&LocalName> {
        (self.name.ns == ns!(html)).then_some(&self.name.local)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &LocalName) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name.local == *name).map(|attribute| &*attribute.value)
    }

    /// All attributes, by name and value.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|attribute| (&*attribute.name.local, &*attribute.value))
    }
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    previous: NodeId,
    next: NodeId,
    first_child: NodeId,
    last_child: NodeId,
    depth: u32,
    data: NodeData,
}

impl Node {
    fn new(data: NodeData) -> Self {
        let none = NodeId::DOCUMENT;
        Self { parent: none, previous: none, next: none, first_child: none, last_child: none, depth: 0, data }
    }
}

/// A parsed page.
#[derive(Debug)]
pub(crate) struct Dom {
    nodes: Vec<Node>,
}

impl Dom {
    /// How many nodes there are, attached or not.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What a node is.
    pub(crate) fn data(&self, id: NodeId) -> &NodeData {
        &self.nodes[id.index()].data
    }

    /// A node as an element, if it is one.
    pub(crate) fn element(&self, id: NodeId) -> Option<&Element> {
        match self.data(id) {
            NodeData::Element(element) => Some(element),
            NodeData::Fragment | NodeData::Text(_) | NodeData::Nothing => None,
        }
    }

    /// The name of a node that is an HTML element.
    pub(crate) fn html_name(&self, id: NodeId) -> Option<&LocalName> {
        self.element(id)?.html_name()
    }

    /// The value of a node's attribute.
    pub(crate) fn attribute(&self, id: NodeId, name: &LocalName) -> Option<&str> {
        self.element(id)?.attribute(name)
    }

    /// A node's parent; `None` for the document's children and for what is not attached.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes[id.index()].parent.some()
    }

    /// A node's ancestors, from its parent up.
    pub(crate) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.parent(id), |id| self.parent(*id))
    }

    /// A node's children, in order.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.nodes[id.index()].first_child.some(), |id| self.nodes[id.index()].next.some())
    }

    /// A node and all below it, in document order. Where `enter` says no, its children are left out.
    pub(crate) fn walk<F: FnMut(NodeId) -> bool>(&self, root: NodeId, enter: F) -> Walk<'_, F> {
        Walk { dom: self, root, next: Some(root), enter }
    }

    /// All text below a node, with white space as it stands.
    pub(crate) fn raw_text(&self, root: NodeId) -> String {
        let mut text = String::new();
        for id in self.walk(root, |_| true) {
            if let NodeData::Text(part) = self.data(id) {
                text.push_str(part);
            }
        }
        text
    }

    /// The first HTML element called `name`, in document order.
    pub(crate) fn find(&self, root: NodeId, name: &LocalName) -> Option<NodeId> {
        self.walk(root, |_| true).find(|id| self.html_name(*id) == Some(name))
    }
}

/// See [`Dom::walk`]. Needs no stack, whatever the depth.
#[derive(Debug)]
pub(crate) struct Walk<'a, F> {
    dom: &'a Dom,
    root: NodeId,
    next: Option<NodeId>,
    enter: F,
}

impl<F: FnMut(NodeId) -> bool> Iterator for Walk<'_, F> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let current = self.next?;
        let node = &self.dom.nodes[current.index()];
        let child = node.first_child.some().filter(|_| (self.enter)(current));
        self.next = child.or_else(|| {
            let mut at = current;
            loop {
                if at == self.root {
                    return None;
                }
                let node = &self.dom.nodes[at.index()];
                if let Some(next) = node.next.some() {
                    return Some(next);
                }
                at = node.parent.some()?;
            }
        });
        Some(current)
    }
}

/// The tree while it is built.
#[derive(Debug)]
pub(crate) struct Building {
    nodes: RefCell<Vec<Node>>,
    depth: Cell<u32>,
}

impl Building {
    pub(crate) fn new() -> Self {
        Self { nodes: RefCell::new(vec![Node::new(NodeData::Fragment)]), depth: Cell::new(0) }
    }

    /// Depth of the element that was attached last: the number of open ones, if none has been closed since.
    pub(crate) fn last_depth(&self) -> u32 {
        self.depth.get()
    }

    /// Corrects [`last_depth`](Self::last_depth) by what the tree builder knows.
    pub(crate) fn set_last_depth(&self, depth: u32) {
        self.depth.set(depth);
    }

    fn add(&self, data: NodeData) -> NodeId {
        let mut nodes = self.nodes.borrow_mut();
        // An input of 4 GiB would be needed to run out of numbers; it is refused long before.
        let id = NodeId(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        nodes.push(Node::new(data));
        id
    }

    fn detach(nodes: &mut [Node], id: NodeId) {
        let (parent, previous, next) = {
            let node = &mut nodes[id.index()];
            let links = (node.parent, node.previous, node.next);
            node.parent = NodeId::DOCUMENT;
            node.previous = NodeId::DOCUMENT;
            node.next = NodeId::DOCUMENT;
            links
        };
        match previous.some() {
            Some(previous) => nodes[previous.index()].next = next,
            None if nodes[parent.index()].first_child == id => nodes[parent.index()].first_child = next,
            None => {}
        }
        match next.some() {
            Some(next) => nodes[next.index()].previous = previous,
            None if nodes[parent.index()].last_child == id => nodes[parent.index()].last_child = previous,
            None => {}
        }
    }

    fn attach_last(nodes: &mut [Node], parent: NodeId, id: NodeId) {
        let last = nodes[parent.index()].last_child;
        nodes[id.index()].parent = parent;
        nodes[id.index()].previous = last;
        nodes[id.index()].depth = nodes[parent.index()].depth.saturating_add(1);
        match last.some() {
            Some(last) => nodes[last.index()].next = id,
            None => nodes[parent.index()].first_child = id,
        }
        nodes[parent.index()].last_child = id;
    }

    fn attach_before(nodes: &mut [Node], sibling: NodeId, id: NodeId) {
        let (parent, previous) = (nodes[sibling.index()].parent, nodes[sibling.index()].previous);
        let depth = nodes[sibling.index()].depth;
        let node = &mut nodes[id.index()];
        node.parent = parent;
        node.previous = previous;
        node.next = sibling;
        node.depth = depth;
        nodes[sibling.index()].previous = id;
        match previous.some() {
            Some(previous) => nodes[previous.index()].next = id,
            None => nodes[parent.index()].first_child = id,
        }
    }

    fn extend_text(nodes: &mut [Node], id: Option<NodeId>, more: &StrTendril) -> bool {
        if let Some(id) = id
            && let NodeData::Text(text) = &mut nodes[id.index()].data
        {
            text.push_tendril(more);
            return true;
        }
        false
    }
}

impl TreeSink for Building {
    type Handle = NodeId;
    type Output = Dom;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Dom {
        Dom { nodes: self.nodes.into_inner() }
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> NodeId {
        NodeId::DOCUMENT
    }

    fn elem_name<'a>(&'a self, target: &'a NodeId) -> Ref<'a, QualName> {
        Ref::map(self.nodes.borrow(), |nodes| match &nodes[target.index()].data {
            NodeData::Element(element) => &element.name,
            // The tree builder asks for names of elements only; a name nothing matches is the safe answer.
            NodeData::Fragment | NodeData::Text(_) | NodeData::Nothing => &NO_NAME,
        })
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, flags: ElementFlags) -> NodeId {
        let template = if flags.template { self.add(NodeData::Fragment) } else { NodeId::DOCUMENT };
        self.add(NodeData::Element(Element {
            name,
            attributes,
            template,
            mathml_integration_point: flags.mathml_annotation_xml_integration_point,
        }))
    }

    fn create_comment(&self, _text: StrTendril) -> NodeId {
        self.add(NodeData::Nothing)
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> NodeId {
        self.add(NodeData::Nothing)
    }

    fn append(&self, parent: &NodeId, child: NodeOrText<NodeId>) {
        match child {
            NodeOrText::AppendNode(id) => {
                let mut nodes = self.nodes.borrow_mut();
                Self::attach_last(&mut nodes, *parent, id);
                if let NodeData::Element(_) = nodes[id.index()].data {
                    self.depth.set(nodes[id.index()].depth);
                }
            }
            NodeOrText::AppendText(text) => {
                let last = self.nodes.borrow()[parent.index()].last_child.some();
                if !Self::extend_text(&mut self.nodes.borrow_mut(), last, &text) {
                    let id = self.add(NodeData::Text(text));
                    Self::attach_last(&mut self.nodes.borrow_mut(), *parent, id);
                }
            }
        }
    }

    fn append_before_sibling(&self, sibling: &NodeId, child: NodeOrText<NodeId>) {
        match child {
            NodeOrText::AppendNode(id) => {
                let mut nodes = self.nodes.borrow_mut();
                Self::detach(&mut nodes, id);
                Self::attach_before(&mut nodes, *sibling, id);
            }
            NodeOrText::AppendText(text) => {
                let previous = self.nodes.borrow()[sibling.index()].previous.some();
                if !Self::extend_text(&mut self.nodes.borrow_mut(), previous, &text) {
                    let id = self.add(NodeData::Text(text));
                    Self::attach_before(&mut self.nodes.borrow_mut(), *sibling, id);
                }
            }
        }
    }

    fn append_based_on_parent_node(&self, element: &NodeId, previous: &NodeId, child: NodeOrText<NodeId>) {
        let attached = self.nodes.borrow()[element.index()].parent.some().is_some();
        if attached {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, _name: StrTendril, _public: StrTendril, _system: StrTendril) {}

    fn get_template_contents(&self, target: &NodeId) -> NodeId {
        match &self.nodes.borrow()[target.index()].data {
            NodeData::Element(element) => element.template,
            NodeData::Fragment | NodeData::Text(_) | NodeData::Nothing => *target,
        }
    }

    fn same_node(&self, one: &NodeId, other: &NodeId) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn add_attrs_if_missing(&self, target: &NodeId, attributes: Vec<Attribute>) {
        if let NodeData::Element(element) = &mut self.nodes.borrow_mut()[target.index()].data {
            for attribute in attributes {
                // Each is compared with all; nobody means more than this.
                if element.attributes.len() < MOST_MERGED && !element.attributes.iter().any(|known| known.name == attribute.name)
                {
                    element.attributes.push(attribute);
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &NodeId) {
        Self::detach(&mut self.nodes.borrow_mut(), *target);
    }

    fn reparent_children(&self, node: &NodeId, new_parent: &NodeId) {
        let mut nodes = self.nodes.borrow_mut();
        while let Some(child) = nodes[node.index()].first_child.some() {
            Self::detach(&mut nodes, child);
            Self::attach_last(&mut nodes, *new_parent, child);
        }
    }

    fn is_mathml_annotation_xml_integration_point(&self, handle: &NodeId) -> bool {
        match &self.nodes.borrow()[handle.index()].data {
            NodeData::Element(element) => element.mathml_integration_point,
            NodeData::Fragment | NodeData::Text(_) | NodeData::Nothing => false,
        }
    }
}

/// Attributes that an element may gather from repeated tags.
const MOST_MERGED: usize = 256;

static NO_NAME: QualName = QualName { prefix: None, ns: ns!(), local: html5ever::local_name!("") };
