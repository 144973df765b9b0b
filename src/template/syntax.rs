//! Template text to a tree. The parser is minijinja's; what the tree means is ours (`engine`), since Ansible's templates
//! need Python's values: lists that can be appended to, comparisons that fail, undefined names that survive until used.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use minijinja::machinery::{Span as ParserSpan, ast, parse, parse_expr};
use minijinja::syntax::SyntaxConfig;

use super::{filter, place, test};

/// How backslashes in string literals are read, and what ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Mode {
    /// A value in a playbook or inventory: backslashes stand for themselves.
    Value,
    /// A template file: backslashes escape.
    File,
    /// A bare expression; backslashes escape.
    Expression,
}

/// A template, ready to be evaluated any number of times.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) body: Vec<Stmt>,
}

/// What is wrong with a template's text.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) range: Range<usize>,
    pub(super) message: String,
    pub(super) help: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Stmt {
    Raw(Arc<str>),
    Emit(Expr),
    For(Box<For>),
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Set(Target, Expr),
    /// Target, filter, body.
    SetBlock(Target, Option<Expr>, Vec<Stmt>),
    FilterBlock(Expr, Vec<Stmt>),
    Macro(Arc<Macro>),
    Call(Expr, Arc<Macro>),
    /// Name, `ignore missing`.
    Include(Expr, bool),
    /// A block that nothing overrides.
    Group(Vec<Stmt>),
    Do(Expr),
    Continue,
    Break,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) iter: Expr,
    pub(super) filter: Option<Expr>,
    pub(super) body: Vec<Stmt>,
    pub(super) otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Arc<str>,
    pub(super) args: Vec<Arc<str>>,
    /// For the last arguments.
    pub(super) defaults: Vec<Expr>,
    pub(super) body: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    Many(Vec<Target>),
    /// A field of a `namespace()`.
    Field(Expr, Arc<str>),
}

#[derive(Debug)]
pub(super) struct Expr {
    pub(super) range: Range<usize>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Var(Arc<str>),
    Const(Const),
    Slice(Box<[Option<Expr>; 4]>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    If(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    /// None: the text of a filter block.
    Filter(Arc<str>, Option<Box<Expr>>, Vec<Arg>),
    Test(Arc<str>, Box<Expr>, Vec<Arg>),
    Attr(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Call(Box<Expr>, Vec<Arg>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
}

#[derive(Clone, Debug)]
pub(super) enum Const {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Pow,
    Concat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    In,
    NotIn,
}

#[derive(Debug)]
pub(super) enum Arg {
    Pos(Expr),
    Named(Arc<str>, Expr),
    Spread(Expr),
    SpreadNamed(Expr),
}

/// Does this text hold anything that a template engine looks at?
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The longest template that is read, in bytes.
const LONGEST: usize = 16 << 20;

pub(super) fn compile(text: &str, mode: Mode) -> Result<Compiled, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new(0..text.len(), "a template of more than 16 MiB"));
    }
    let (source, shifts) = match mode {
        Mode::Value => hide_backslashes(text),
        Mode::File | Mode::Expression => (text.to_owned(), Vec::new()),
    };
    let reader = Reader { text, shifts };
    let body = match mode {
        Mode::Expression => {
            let expr = parse_expr(&source).map_err(|e| reader.fault(&e))?;
            vec![Stmt::Emit(reader.expr(&expr)?)]
        }
        Mode::Value | Mode::File => {
            let mut syntax = SyntaxConfig::builder();
            syntax.trim_blocks(true).keep_trailing_newline(mode == Mode::File);
            let syntax = syntax.build().map_err(|e| reader.fault(&e))?;
            let root = parse(&source, "template", syntax).map_err(|e| reader.fault(&e))?;
            match &root {
                ast::Stmt::Template(template) => reader.stmts(&template.children)?,
                other => reader.stmts(std::slice::from_ref(other))?,
            }
        }
    };
    Ok(Compiled { body })
}

impl Fault {
    fn new(range: Range<usize>, message: impl Into<String>) -> Fault {
        Fault {
            range,
            message: message.into(),
            help: Vec::new(),
        }
    }
}

/// Stand for a backslash, and for a quote after one, while the parser reads the text.
const BACKSLASH: char = '\u{10fff0}';
const QUOTES: [(char, char); 2] = [('\'', '\u{10fff1}'), ('"', '\u{10fff2}')];

/// Replaces backslashes inside string literals; gives where bytes were added: (offset in the new text, bytes).
fn hide_backslashes(text: &str) -> (String, Vec<(usize, usize)>) {
    if !text.contains('\\') {
        return (text.to_owned(), Vec::new());
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut shifts = Vec::new();
    let mut rest = text;
    let mut push = |out: &mut String, stand_in: char, old: usize| {
        out.push(stand_in);
        shifts.push((out.len(), stand_in.len_utf8() - old));
    };
    while let Some(at) = rest
        .find("{{")
        .into_iter()
        .chain(rest.find("{%"))
        .chain(rest.find("{#"))
        .min()
    {
        let comment = rest[at..].starts_with("{#");
        let close = if comment {
            "#}"
        } else if rest[at..].starts_with("{{") {
            "}}"
        } else {
            "%}"
        };
        out.push_str(&rest[..at + 2]);
        rest = &rest[at + 2..];
        if comment {
            let end = rest.find(close).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        if close == "%}" && rest.trim_start_matches(['-', '+', ' ']).starts_with("raw") {
            let end = rest.find("endraw").unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let mut quote: Option<char> = None;
        let mut braces = 0_usize;
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((i, c)) = chars.next() {
            match quote {
                Some(_) if c == '\\' => {
                    push(&mut out, BACKSLASH, 1);
                    if let Some((_, next)) = chars.next() {
                        match QUOTES.iter().find(|(q, _)| *q == next) {
                            Some((_, stand_in)) => push(&mut out, *stand_in, 1),
                            None if next == '\\' => push(&mut out, BACKSLASH, 1),
                            None => out.push(next),
                        }
                    }
                }
                Some(q) => {
                    if c == q {
                        quote = None;
                    }
                    out.push(c);
                }
                None => {
                    if braces == 0 && rest[i..].starts_with(close) {
                        end = i;
                        break;
                    }
                    match c {
                        '\'' | '"' => quote = Some(c),
                        '{' => braces += 1,
                        '}' => braces = braces.saturating_sub(1),
                        _ => {}
                    }
                    out.push(c);
                }
            }
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    (out, shifts)
}

struct Reader<'t> {
    text: &'t str,
    shifts: Vec<(usize, usize)>,
}

impl Reader<'_> {
    fn offset(&self, at: usize) -> usize {
        let added: usize = self
            .shifts
            .iter()
            .take_while(|(end, _)| *end <= at)
            .map(|(_, n)| n)
            .sum();
        place::char_boundary(self.text, at.saturating_sub(added))
    }

    fn range(&self, span: ParserSpan) -> Range<usize> {
        let start = self.offset(span.start_offset as usize);
        start..self.offset(span.end_offset as usize).max(start)
    }

    fn fault(&self, error: &minijinja::Error) -> Fault {
        let range = match error.range() {
            Some(range) => {
                let start = self.offset(range.start);
                start..self.offset(range.end).max(start)
            }
            None => 0..self.text.len(),
        };
        let detail = error.detail().unwrap_or("the template cannot be read");
        Fault::new(range, format!("not a template: {}", self.show(detail)))
    }

    fn show(&self, text: &str) -> String {
        unhide(text)
    }

    fn stmts(&self, list: &[ast::Stmt]) -> Result<Vec<Stmt>, Fault> {
        list.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&self, stmt: &ast::Stmt) -> Result<Stmt, Fault> {
        Ok(match stmt {
            ast::Stmt::Template(template) => Stmt::Group(self.stmts(&template.children)?),
            ast::Stmt::EmitExpr(emit) => Stmt::Emit(self.expr(&emit.expr)?),
            ast::Stmt::EmitRaw(raw) => Stmt::Raw(one_newline(unhide(raw.raw)).into()),
            ast::Stmt::ForLoop(each) => Stmt::For(Box::new(For {
                target: self.target(&each.target)?,
                iter: self.expr(&each.iter)?,
                filter: each.filter_expr.as_ref().map(|e| self.expr(e)).transpose()?,
                body: self.stmts(&each.body)?,
                otherwise: self.stmts(&each.else_body)?,
            })),
            ast::Stmt::IfCond(cond) => Stmt::If(
                self.expr(&cond.expr)?,
                self.stmts(&cond.true_body)?,
                self.stmts(&cond.false_body)?,
            ),
            ast::Stmt::WithBlock(with) => Stmt::With(
                with.assignments
                    .iter()
                    .map(|(target, expr)| Ok((self.target(target)?, self.expr(expr)?)))
                    .collect::<Result<_, Fault>>()?,
                self.stmts(&with.body)?,
            ),
            ast::Stmt::Set(set) => Stmt::Set(self.target(&set.target)?, self.expr(&set.expr)?),
            ast::Stmt::SetBlock(set) => Stmt::SetBlock(
                self.target(&set.target)?,
                set.filter.as_ref().map(|e| self.expr(e)).transpose()?,
                self.stmts(&set.body)?,
            ),
            ast::Stmt::AutoEscape(escape) => Stmt::Group(self.stmts(&escape.body)?),
            ast::Stmt::FilterBlock(block) => Stmt::FilterBlock(self.expr(&block.filter)?, self.stmts(&block.body)?),
            ast::Stmt::Block(block) => Stmt::Group(self.stmts(&block.body)?),
            ast::Stmt::Import(import) => return Err(self.not_built(import.span(), "`{% import %}`")),
            ast::Stmt::FromImport(import) => return Err(self.not_built(import.span(), "`{% from … import %}`")),
            ast::Stmt::Extends(extends) => return Err(self.not_built(extends.span(), "`{% extends %}`")),
            ast::Stmt::Include(include) => Stmt::Include(self.expr(&include.name)?, include.ignore_missing),
            ast::Stmt::Macro(macro_) => Stmt::Macro(self.macro_(macro_)?),
            ast::Stmt::CallBlock(call) => {
                Stmt::Call(self.call(&call.call, call.call.span())?, self.macro_(&call.macro_decl)?)
            }
            ast::Stmt::Do(call) => Stmt::Do(self.call(&call.call, call.call.span())?),
            ast::Stmt::Continue(_) => Stmt::Continue,
            ast::Stmt::Break(_) => Stmt::Break,
        })
    }

    fn not_built(&self, span: ParserSpan, what: &str) -> Fault {
        Fault::new(self.range(span), format!("{what}: known, not built yet"))
    }

    fn macro_(&self, macro_: &ast::Macro) -> Result<Arc<Macro>, Fault> {
        let args = macro_
            .args
            .iter()
            .map(|arg| match arg {
                ast::Expr::Var(var) => Ok(var.id.into()),
                other => Err(Fault::new(
                    self.range(other.span()),
                    "a macro's argument must be a name",
                )),
            })
            .collect::<Result<_, Fault>>()?;
        Ok(Arc::new(Macro {
            name: macro_.name.into(),
            args,
            defaults: macro_.defaults.iter().map(|e| self.expr(e)).collect::<Result<_, _>>()?,
            body: self.stmts(&macro_.body)?,
        }))
    }

    fn target(&self, target: &ast::Expr) -> Result<Target, Fault> {
        Ok(match target {
            ast::Expr::Var(var) => Target::Name(var.id.into()),
            ast::Expr::Tuple(list) => {
                Target::Many(list.items.iter().map(|t| self.target(t)).collect::<Result<_, _>>()?)
            }
            ast::Expr::List(list) => Target::Many(list.items.iter().map(|t| self.target(t)).collect::<Result<_, _>>()?),
            ast::Expr::GetAttr(attr) => Target::Field(self.expr(&attr.expr)?, attr.name.into()),
            other => return Err(Fault::new(self.range(other.span()), "this cannot be assigned to")),
        })
    }

    fn boxed(&self, expr: &ast::Expr) -> Result<Box<Expr>, Fault> {
        self.expr(expr).map(Box::new)
    }

    fn list(&self, list: &[ast::Expr]) -> Result<Vec<Expr>, Fault> {
        list.iter().map(|e| self.expr(e)).collect()
    }

    fn args(&self, args: &[ast::CallArg]) -> Result<Vec<Arg>, Fault> {
        args.iter()
            .map(|arg| {
                Ok(match arg {
                    ast::CallArg::Pos(expr) => Arg::Pos(self.expr(expr)?),
                    ast::CallArg::Kwarg(name, expr) => Arg::Named((*name).into(), self.expr(expr)?),
                    ast::CallArg::PosSplat(expr) => Arg::Spread(self.expr(expr)?),
                    ast::CallArg::KwargSplat(expr) => Arg::SpreadNamed(self.expr(expr)?),
                })
            })
            .collect()
    }

    fn call(&self, call: &ast::Call, span: ParserSpan) -> Result<Expr, Fault> {
        Ok(Expr {
            range: self.range(span),
            what: What::Call(self.boxed(&call.expr)?, self.args(&call.args)?),
        })
    }

    fn expr(&self, expr: &ast::Expr) -> Result<Expr, Fault> {
        let mut range = self.range(expr.span());
        let what = match expr {
            ast::Expr::Var(var) => What::Var(var.id.into()),
            ast::Expr::Const(value) => What::Const(self.constant(&value.value, &range)?),
            ast::Expr::Slice(slice) => What::Slice(Box::new([
                Some(self.expr(&slice.expr)?),
                slice.start.as_ref().map(|e| self.expr(e)).transpose()?,
                slice.stop.as_ref().map(|e| self.expr(e)).transpose()?,
                slice.step.as_ref().map(|e| self.expr(e)).transpose()?,
            ])),
            ast::Expr::UnaryOp(op) => {
                let inner = self.boxed(&op.expr)?;
                match op.op {
                    ast::UnaryOpKind::Not => What::Not(inner),
                    ast::UnaryOpKind::Neg => What::Neg(inner),
                }
            }
            ast::Expr::BinOp(op) => {
                let (left, right) = (self.boxed(&op.left)?, self.boxed(&op.right)?);
                range = left.range.start.min(right.range.start)..right.range.end.max(left.range.end);
                binary(op.op, left, right)
            }
            ast::Expr::Compare(compare) => {
                let first = self.boxed(&compare.expr)?;
                let rest = compare
                    .ops
                    .iter()
                    .map(|op| Ok((comparison(op.op), self.expr(&op.expr)?)))
                    .collect::<Result<Vec<_>, Fault>>()?;
                range = first.range.start..rest.last().map_or(range.end, |(_, e)| e.range.end);
                What::Compare(first, rest)
            }
            ast::Expr::IfExpr(cond) => {
                let value = self.boxed(&cond.true_expr)?;
                range = value.range.start..range.end.max(value.range.end);
                What::If(
                    self.boxed(&cond.test_expr)?,
                    value,
                    cond.false_expr.as_ref().map(|e| self.boxed(e)).transpose()?,
                )
            }
            ast::Expr::Filter(f) => {
                let name = squeeze(f.name);
                if let Err(trouble) = filter::known(&name) {
                    return Err(Fault { range, ..trouble });
                }
                let input = f.expr.as_ref().map(|e| self.boxed(e)).transpose()?;
                What::Filter(name.into(), input, self.args(&f.args)?)
            }
            ast::Expr::Test(t) => {
                let name = squeeze(t.name);
                if let Err(trouble) = test::known(&name) {
                    return Err(Fault { range, ..trouble });
                }
                What::Test(name.into(), self.boxed(&t.expr)?, self.args(&t.args)?)
            }
            ast::Expr::GetAttr(attr) => {
                let base = self.boxed(&attr.expr)?;
                range.start = base.range.start;
                What::Attr(base, attr.name.into())
            }
            ast::Expr::GetItem(item) => {
                let base = self.boxed(&item.expr)?;
                range.start = base.range.start;
                What::Item(base, self.boxed(&item.subscript_expr)?)
            }
            ast::Expr::Call(call) => {
                let callee = self.boxed(&call.expr)?;
                range.start = callee.range.start;
                What::Call(callee, self.args(&call.args)?)
            }
            ast::Expr::List(list) => What::List(self.list(&list.items)?),
            ast::Expr::Tuple(list) => What::Tuple(self.list(&list.items)?),
            ast::Expr::Map(map) => What::Map(
                map.keys
                    .iter()
                    .zip(&map.values)
                    .map(|(k, v)| Ok((self.expr(k)?, self.expr(v)?)))
                    .collect::<Result<_, Fault>>()?,
            ),
        };
        Ok(Expr { range, what })
    }

    fn constant(&self, value: &minijinja::Value, range: &Range<usize>) -> Result<Const, Fault> {
        use minijinja::value::ValueKind;
        Ok(match value.kind() {
            ValueKind::None => Const::None,
            ValueKind::Bool => Const::Bool(value.is_true()),
            ValueKind::String => Const::Str(unhide(value.as_str().unwrap_or_default()).into()),
            ValueKind::Number => match (
                value.is_integer(),
                i128::try_from(value.clone()),
                f64::try_from(value.clone()),
            ) {
                (true, Ok(int), _) => Const::Int(int),
                (false, _, Ok(float)) => Const::Float(float),
                _ => return Err(Fault::new(range.clone(), "a number that is too large")),
            },
            kind => {
                return Err(Fault::new(
                    range.clone(),
                    format!("a literal of the kind {kind} is not known here"),
                ));
            }
        })
    }
}

fn unhide(text: &str) -> String {
    if !text.contains(|c| (BACKSLASH..='\u{10fff2}').contains(&c)) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if c == BACKSLASH {
                return '\\';
            }
            QUOTES
                .iter()
                .find(|(_, stand_in)| *stand_in == c)
                .map_or(c, |(quote, _)| *quote)
        })
        .collect()
}

/// As Jinja: whatever ends a line in the source is one newline in the result.
fn one_newline(text: String) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}

/// A dotted name without the space that may stand around its dots.
fn squeeze(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).collect()
}

fn binary(op: ast::BinOpKind, left: Box<Expr>, right: Box<Expr>) -> What {
    use ast::BinOpKind as Op;
    let compare = |op, left: Box<Expr>, right: Box<Expr>| What::Compare(left, vec![(op, *right)]);
    match op {
        Op::Eq => compare(Compare::Eq, left, right),
        Op::Ne => compare(Compare::Ne, left, right),
        Op::Lt => compare(Compare::Lt, left, right),
        Op::Lte => compare(Compare::Lte, left, right),
        Op::Gt => compare(Compare::Gt, left, right),
        Op::Gte => compare(Compare::Gte, left, right),
        Op::In => compare(Compare::In, left, right),
        Op::ScAnd => What::And(left, right),
        Op::ScOr => What::Or(left, right),
        Op::Add => What::Binary(Binary::Add, left, right),
        Op::Sub => What::Binary(Binary::Sub, left, right),
        Op::Mul => What::Binary(Binary::Mul, left, right),
        Op::Div => What::Binary(Binary::Div, left, right),
        Op::FloorDiv => What::Binary(Binary::FloorDiv, left, right),
        Op::Rem => What::Binary(Binary::Rem, left, right),
        Op::Pow => What::Binary(Binary::Pow, left, right),
        Op::Concat => What::Binary(Binary::Concat, left, right),
    }
}

fn comparison(op: ast::CompareOpKind) -> Compare {
    match op {
        ast::CompareOpKind::Eq => Compare::Eq,
        ast::CompareOpKind::Ne => Compare::Ne,
        ast::CompareOpKind::Lt => Compare::Lt,
        ast::CompareOpKind::Lte => Compare::Lte,
        ast::CompareOpKind::Gt => Compare::Gt,
        ast::CompareOpKind::Gte => Compare::Gte,
        ast::CompareOpKind::In => Compare::In,
        ast::CompareOpKind::NotIn => Compare::NotIn,
    }
}

/// The names that a template takes from outside: what it sets itself is left out.
pub(super) fn names(compiled: &Compiled, into: &mut BTreeSet<String>) {
    let mut walk = Walk {
        into,
        local: Vec::new(),
    };
    walk.stmts(&compiled.body);
}

struct Walk<'w> {
    into: &'w mut BTreeSet<String>,
    local: Vec<Arc<str>>,
}

impl Walk<'_> {
    fn stmts(&mut self, list: &[Stmt]) {
        for stmt in list {
            self.stmt(stmt);
        }
    }

    fn scoped(&mut self, targets: &[&Target], list: &[Stmt]) {
        let depth = self.local.len();
        for target in targets {
            self.bind(target);
        }
        self.stmts(list);
        self.local.truncate(depth);
    }

    fn bind(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.local.push(Arc::clone(name)),
            Target::Many(list) => list.iter().for_each(|t| self.bind(t)),
            Target::Field(expr, _) => self.expr(expr),
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Raw(_) | Stmt::Continue | Stmt::Break => {}
            Stmt::Emit(expr) | Stmt::Do(expr) | Stmt::Include(expr, _) => self.expr(expr),
            Stmt::For(each) => {
                self.expr(&each.iter);
                let depth = self.local.len();
                self.bind(&each.target);
                self.local.push("loop".into());
                if let Some(filter) = &each.filter {
                    self.expr(filter);
                }
                self.stmts(&each.body);
                self.local.truncate(depth);
                self.stmts(&each.otherwise);
            }
            Stmt::If(cond, yes, no) => {
                self.expr(cond);
                self.stmts(yes);
                self.stmts(no);
            }
            Stmt::With(assignments, body) => {
                assignments.iter().for_each(|(_, expr)| self.expr(expr));
                let targets: Vec<&Target> = assignments.iter().map(|(target, _)| target).collect();
                self.scoped(&targets, body);
            }
            Stmt::Set(target, expr) => {
                self.expr(expr);
                self.bind(target);
            }
            Stmt::SetBlock(target, filter, body) => {
                filter.iter().for_each(|expr| self.expr(expr));
                self.scoped(&[], body);
                self.bind(target);
            }
            Stmt::FilterBlock(filter, body) => {
                self.expr(filter);
                self.scoped(&[], body);
            }
            Stmt::Macro(macro_) => {
                self.local.push(Arc::clone(&macro_.name));
                self.macro_(macro_);
            }
            Stmt::Call(call, macro_) => {
                self.expr(call);
                self.macro_(macro_);
            }
            Stmt::Group(body) => self.stmts(body),
        }
    }

    fn macro_(&mut self, macro_: &Macro) {
        macro_.defaults.iter().for_each(|e| self.expr(e));
        let depth = self.local.len();
        self.local.extend(macro_.args.iter().cloned());
        self.local.extend(["varargs", "kwargs", "caller"].map(Arc::from));
        self.stmts(&macro_.body);
        self.local.truncate(depth);
    }

    fn args(&mut self, args: &[Arg]) {
        for arg in args {
            match arg {
                Arg::Pos(e) | Arg::Named(_, e) | Arg::Spread(e) | Arg::SpreadNamed(e) => self.expr(e),
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.what {
            What::Var(name) => {
                if !self.local.contains(name) {
                    self.into.insert(name.to_string());
                }
            }
            What::Const(_) => {}
            What::Slice(parts) => parts.iter().flatten().for_each(|e| self.expr(e)),
            What::Not(e) | What::Neg(e) => self.expr(e),
            What::And(a, b) | What::Or(a, b) | What::Binary(_, a, b) => {
                self.expr(a);
                self.expr(b);
            }
            What::Compare(first, rest) => {
                self.expr(first);
                rest.iter().for_each(|(_, e)| self.expr(e));
            }
            What::If(test, yes, no) => {
                self.expr(test);
                self.expr(yes);
                no.iter().for_each(|e| self.expr(e));
            }
            What::Filter(_, input, args) => {
                input.iter().for_each(|e| self.expr(e));
                self.args(args);
            }
            What::Test(_, input, args) => {
                self.expr(input);
                self.args(args);
            }
            What::Attr(base, name) => {
                self.through_peer(base, name);
                self.expr(base);
            }
            What::Item(base, key) => {
                if let What::Const(Const::Str(name)) = &key.what {
                    self.through_peer(base, name);
                }
                self.expr(base);
                self.expr(key);
            }
            What::Call(callee, args) => {
                if let What::Var(name) = &callee.what
                    && matches!(&**name, "lookup" | "query" | "q")
                    && let [Arg::Pos(plugin), rest @ ..] = args.as_slice()
                    && let What::Const(Const::Str(plugin)) = &plugin.what
                    && matches!(&**plugin, "vars" | "ansible.builtin.vars")
                {
                    for arg in rest {
                        if let Arg::Pos(Expr {
                            what: What::Const(Const::Str(name)),
                            ..
                        }) = arg
                        {
                            self.into.insert(name.to_string());
                        }
                    }
                }
                self.expr(callee);
                self.args(args);
            }
            What::List(list) | What::Tuple(list) => list.iter().for_each(|e| self.expr(e)),
            What::Map(list) => list.iter().for_each(|(k, v)| {
                self.expr(k);
                self.expr(v);
            }),
        }
    }

    /// `hostvars[…].name` and `vars.name` read the variable too.
    fn through_peer(&mut self, base: &Expr, name: &str) {
        let (root, wanted) = match &base.what {
            What::Item(host, _) | What::Attr(host, _) => (&host.what, "hostvars"),
            other => (other, "vars"),
        };
        if matches!(root, What::Var(var) if &**var == wanted) {
            self.into.insert(name.to_owned());
        }
    }
}
