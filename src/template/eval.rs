//! Statements and expressions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::engine::{Engine, Frame, SIZE};
use super::filter;
use super::place::Place;
use super::syntax::{Arg, Binary, Const, Expr, For, Macro, Stmt, Target, What};
use super::test;
use super::value::{Absent, Closure, Halt, Key, Locals, Loop, Missing, Res, Val, Waiting, said, say};
use crate::yaml::Source;

/// What a call was given.
pub(super) struct Args<'a> {
    pub(super) positional: Vec<Val<'a>>,
    pub(super) named: Vec<(Arc<str>, Val<'a>)>,
}

impl<'a> Engine<'a> {
    /// The value of a template: native where it is one thing, text otherwise.
    pub(super) fn run(&self, frame: &Frame<'a>, body: &[Stmt]) -> Res<'a, Val<'a>> {
        let mut out = Vec::new();
        self.stmts(frame, body, &mut out)?;
        if let [one] = out.as_slice() {
            return self.defined(one.clone());
        }
        let mut rest = out.iter().filter(|v| !matches!(v, Val::None | Val::Omit));
        match (rest.next(), rest.next()) {
            (Some(one), None) => return Ok(one.clone()),
            (None, _) if out.iter().any(|v| matches!(v, Val::Omit)) => return Ok(Val::Omit),
            (None, _) => return Ok(Val::None),
            _ => {}
        }
        self.join_output(&out)
    }

    /// The same as text.
    pub(super) fn text_of(&self, frame: &Frame<'a>, body: &[Stmt]) -> Res<'a, Val<'a>> {
        let mut out = Vec::new();
        self.stmts(frame, body, &mut out)?;
        self.join_output(&out)
    }

    fn join_output(&self, out: &[Val<'a>]) -> Res<'a, Val<'a>> {
        let mut text = String::new();
        let mut pending = None;
        for value in out {
            match value {
                Val::None | Val::Omit => {}
                Val::Pending(_) => pending = Some(value),
                value => match self.write_text(value, &mut text) {
                    Err(Halt::Pending) => pending = Some(value),
                    other => other?,
                },
            }
            if text.len() > SIZE {
                return Err(self.fail(said("the template gives more than 32 MiB of text")));
            }
        }
        Ok(match pending {
            Some(_) => nameless_pending(),
            None => Val::str(text),
        })
    }

    fn stmts(&self, frame: &Frame<'a>, body: &[Stmt], out: &mut Vec<Val<'a>>) -> Res<'a, ()> {
        for stmt in body {
            self.stmt(frame, stmt, out)?;
        }
        Ok(())
    }

    fn stmt(&self, frame: &Frame<'a>, stmt: &Stmt, out: &mut Vec<Val<'a>>) -> Res<'a, ()> {
        self.step()?;
        match stmt {
            Stmt::Raw(text) => out.push(Val::Str(Arc::clone(text))),
            Stmt::Emit(expr) => {
                let value = self.eval(frame, expr)?;
                self.set_here(frame.place, &expr.range);
                if let Val::Method(_) | Val::Function(_) = value {
                    self.text(&value).map_err(|h| self.fail(h))?;
                }
                out.push(if value.is_no_else() {
                    value
                } else {
                    self.defined(value)?
                });
            }
            Stmt::Do(expr) => {
                self.eval(frame, expr)?;
            }
            Stmt::If(cond, yes, no) => {
                let branch = if self.test_true(frame, cond)? { yes } else { no };
                self.stmts(frame, branch, out)?;
            }
            Stmt::For(each) => self.for_loop(frame, each, out)?,
            Stmt::With(assignments, body) => {
                let values: Vec<_> = assignments
                    .iter()
                    .map(|(target, expr)| Ok((target, self.eval(frame, expr)?)))
                    .collect::<Res<'a, _>>()?;
                self.scoped(frame, || {
                    for (target, value) in values {
                        self.assign(frame, target, value)?;
                    }
                    self.stmts(frame, body, out)
                })?;
            }
            Stmt::Set(target, expr) => {
                let value = self.eval(frame, expr)?;
                self.set_here(frame.place, &expr.range);
                self.assign(frame, target, value).map_err(|h| self.fail(h))?;
            }
            Stmt::SetBlock(target, filter, body) => {
                let mut value = self.scoped(frame, || self.text_of(frame, body))?;
                if let Some(filter) = filter {
                    value = self.filter_chain(frame, filter, value)?;
                }
                self.assign(frame, target, value)?;
            }
            Stmt::FilterBlock(filter, body) => {
                let value = self.scoped(frame, || self.text_of(frame, body))?;
                out.push(self.filter_chain(frame, filter, value)?);
            }
            Stmt::Macro(macro_) => {
                let closure = Val::Macro(Rc::new(Closure {
                    macro_: Arc::clone(macro_),
                    locals: None,
                }));
                frame.top().set(Arc::clone(&macro_.name), closure);
            }
            Stmt::Call(call, macro_) => {
                let caller = Val::Macro(Rc::new(Closure {
                    macro_: Arc::clone(macro_),
                    locals: Some(frame.top()),
                }));
                let What::Call(callee, args) = &call.what else {
                    return Err(self.fail_at(said("only a macro can be called here"), frame.place, &call.range));
                };
                let callee = self.eval(frame, callee)?;
                let mut args = self.args(frame, args)?;
                args.named.push(("caller".into(), caller));
                self.set_here(frame.place, &call.range);
                out.push(self.call(frame, callee, args).map_err(|h| self.fail(h))?);
            }
            Stmt::Include(name, ignore) => {
                if let Some(value) = self.include(frame, name, *ignore)? {
                    out.push(value);
                }
            }
            Stmt::Group(body) => self.stmts(frame, body, out)?,
            Stmt::Continue => return Err(Halt::Continue),
            Stmt::Break => return Err(Halt::Break),
        }
        Ok(())
    }

    fn scoped<T>(&self, frame: &Frame<'a>, work: impl FnOnce() -> Res<'a, T>) -> Res<'a, T> {
        let outer = frame.top();
        *frame.locals.borrow_mut() = Locals::below(&outer);
        let result = work();
        *frame.locals.borrow_mut() = outer;
        result
    }

    fn assign(&self, frame: &Frame<'a>, target: &Target, value: Val<'a>) -> Res<'a, ()> {
        match target {
            Target::Name(name) => frame.top().set(Arc::clone(name), value),
            Target::Many(targets) => {
                let items = self.elements(&value)?;
                if items.len() != targets.len() {
                    return Err(self.fail(said(format!("{} names for {} values", targets.len(), items.len()))));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(frame, target, item)?;
                }
            }
            Target::Field(expr, name) => match self.eval(frame, expr)? {
                Val::Namespace(fields) => {
                    fields.borrow_mut().insert(Key::Str(Arc::clone(name)), value);
                }
                Val::Pending(_) => return Err(Halt::Pending),
                other => {
                    let halt = said(format!("fields can be set in a `namespace()`, not in {}", other.kind()));
                    return Err(self.fail_at(halt, frame.place, &expr.range));
                }
            },
        }
        Ok(())
    }

    fn for_loop(&self, frame: &Frame<'a>, each: &For, out: &mut Vec<Val<'a>>) -> Res<'a, ()> {
        let over = self.eval(frame, &each.iter)?;
        self.set_here(frame.place, &each.iter.range);
        let items = self.elements(&over).map_err(|h| self.fail(h))?;
        self.loop_over(frame, each, items, out)
    }

    fn loop_over(&self, frame: &Frame<'a>, each: &For, items: Vec<Val<'a>>, out: &mut Vec<Val<'a>>) -> Res<'a, ()> {
        let depth = frame.loop_depth.get();
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            let keep = match &each.filter {
                None => true,
                Some(filter) => self.scoped(frame, || {
                    self.assign(frame, &each.target, item.clone())?;
                    self.test_true(frame, filter)
                })?,
            };
            if keep {
                kept.push(item);
            }
        }
        if kept.is_empty() {
            return self.stmts(frame, &each.otherwise, out);
        }
        let items = Rc::new(kept);
        let changed = Rc::new(Loop {
            index: 0,
            items: Rc::clone(&items),
            depth,
            changed: RefCell::new(HashMap::new()),
        });
        let mut last = changed;
        for index in 0..items.len() {
            self.step()?;
            let state = Rc::new(Loop {
                index,
                items: Rc::clone(&items),
                depth,
                changed: RefCell::new(last.changed.take()),
            });
            last = Rc::clone(&state);
            frame.loop_depth.set(depth + 1);
            let result = self.scoped(frame, || {
                self.assign(frame, &each.target, items[index].clone())?;
                frame.top().set("loop".into(), Val::Loop(state));
                self.stmts(frame, &each.body, out)
            });
            frame.loop_depth.set(depth);
            match result {
                Err(Halt::Break) => break,
                Ok(()) | Err(Halt::Continue) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn filter_chain(&self, frame: &Frame<'a>, expr: &Expr, input: Val<'a>) -> Res<'a, Val<'a>> {
        let What::Filter(name, inner, args) = &expr.what else {
            return Err(self.fail_at(said("only filters can stand here"), frame.place, &expr.range));
        };
        let input = match inner {
            Some(inner) => self.filter_chain(frame, inner, input)?,
            None => input,
        };
        self.apply_filter(frame, name, input, args, &expr.range)
    }

    fn include(&self, frame: &Frame<'a>, name: &Expr, ignore: bool) -> Res<'a, Option<Val<'a>>> {
        let value = self.eval(frame, name)?;
        self.set_here(frame.place, &name.range);
        let names = match self.known(value)? {
            Val::Str(name) => vec![name.to_string()],
            other => self
                .elements(&other)
                .and_then(|list| list.iter().map(|v| self.text(v)).collect())
                .map_err(|h| self.fail(h))?,
        };
        let folder = self.templates.folder();
        let own = match frame.place {
            Place::File(source) => Some(source.folder().to_path_buf()),
            _ => None,
        };
        for name in &names {
            let folders = own
                .iter()
                .cloned()
                .chain([folder.join("templates"), folder.to_path_buf()]);
            for path in folders.map(|f| f.join(name)).collect::<Vec<PathBuf>>() {
                match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        let source = Source::new(path, text);
                        let text = self.render_file(source, frame.scope, Some(&frame.top()))?;
                        self.set_here(frame.place, &name_range(&frame.place));
                        return Ok(Some(text));
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(self.fail(said(format!("cannot read {}: {e}", path.display())))),
                }
            }
        }
        if ignore {
            return Ok(None);
        }
        let halt = said(format!("there is no template `{}`", names.join("`, `")))
            .help("it is looked for beside this template, in `templates/` and beside the playbook");
        Err(self.fail(halt))
    }

    /// An undefined value ends here.
    pub(super) fn defined(&self, value: Val<'a>) -> Res<'a, Val<'a>> {
        match value {
            Val::Undefined(missing) => Err(Halt::Undefined(missing)),
            other => Ok(other),
        }
    }

    /// And so does one that is not known yet.
    pub(super) fn known(&self, value: Val<'a>) -> Res<'a, Val<'a>> {
        match value {
            Val::Undefined(missing) => Err(Halt::Undefined(missing)),
            Val::Pending(_) => Err(Halt::Pending),
            other => Ok(other),
        }
    }

    fn test_true(&self, frame: &Frame<'a>, expr: &Expr) -> Res<'a, bool> {
        let value = self.eval(frame, expr)?;
        self.set_here(frame.place, &expr.range);
        self.truth(&value).map_err(|h| self.fail(h))
    }

    pub(super) fn eval(&self, frame: &Frame<'a>, expr: &Expr) -> Res<'a, Val<'a>> {
        self.step()?;
        match &expr.what {
            What::Const(constant) => Ok(match constant {
                Const::None => Val::None,
                Const::Bool(b) => Val::Bool(*b),
                Const::Int(i) => Val::Int(*i),
                Const::Float(f) => Val::Float(*f),
                Const::Str(text) => Val::Str(Arc::clone(text)),
            }),
            What::Var(name) => {
                self.set_here(frame.place, &expr.range);
                self.look_up(frame, name, &expr.range)
            }
            _ => self
                .nested(|| self.compound(frame, expr))
                .map_err(|h| self.fail_at(h, frame.place, &expr.range)),
        }
    }

    fn compound(&self, frame: &Frame<'a>, expr: &Expr) -> Res<'a, Val<'a>> {
        let here = |range: &Range<usize>| self.set_here(frame.place, range);
        match &expr.what {
            What::Const(_) | What::Var(_) => self.eval(frame, expr),
            What::Not(inner) => {
                let value = self.eval(frame, inner)?;
                if let Val::Pending(_) = value {
                    return Ok(value);
                }
                here(&inner.range);
                Ok(Val::Bool(!self.truth(&value)?))
            }
            What::Neg(inner) => match self.defined(self.eval(frame, inner)?)? {
                Val::Pending(w) => Ok(Val::Pending(w)),
                Val::Int(i) => i
                    .checked_neg()
                    .map(Val::Int)
                    .ok_or_else(|| said("the number is too large")),
                Val::Float(f) => Ok(Val::Float(-f)),
                Val::Bool(b) => Ok(Val::Int(-i128::from(b))),
                other => say(format!("{} has no negative", other.kind())),
            },
            What::And(a, b) | What::Or(a, b) => {
                let left = self.eval(frame, a)?;
                if let Val::Pending(_) = left {
                    return Ok(left);
                }
                here(&a.range);
                let go_on = self.truth(&left)? == matches!(expr.what, What::And(..));
                if go_on { self.eval(frame, b) } else { Ok(left) }
            }
            What::Binary(op, a, b) => {
                let operand = |expr: &Expr| match self.eval(frame, expr)? {
                    value if *op == Binary::Concat && value.is_no_else() => Ok(value),
                    value => self.defined(value),
                };
                let (left, right) = (operand(a)?, operand(b)?);
                if matches!(left, Val::Pending(_)) || matches!(right, Val::Pending(_)) {
                    return Ok(nameless_pending());
                }
                here(&expr.range);
                self.binary(*op, left, right)
            }
            What::Compare(first, rest) => {
                let mut left = self.defined(self.eval(frame, first)?)?;
                for (op, right) in rest {
                    let right = self.defined(self.eval(frame, right)?)?;
                    if matches!(left, Val::Pending(_)) || matches!(right, Val::Pending(_)) {
                        return Ok(nameless_pending());
                    }
                    here(&expr.range);
                    if !self.compare(*op, &left, &right)? {
                        return Ok(Val::Bool(false));
                    }
                    left = right;
                }
                Ok(Val::Bool(true))
            }
            What::If(test, yes, no) => {
                if self.test_true(frame, test)? {
                    return self.eval(frame, yes);
                }
                match no {
                    Some(no) => self.eval(frame, no),
                    None => Ok(Val::Undefined(Rc::new(Missing {
                        what: Absent::NoElse,
                        place: frame.place,
                        range: expr.range.clone(),
                    }))),
                }
            }
            What::Filter(name, input, args) => {
                let input = match input {
                    Some(input) => self.eval(frame, input)?,
                    None => Val::str(""),
                };
                self.apply_filter(frame, name, input, args, &expr.range)
            }
            What::Test(name, input, args) => {
                let value = self.eval(frame, input)?;
                let args = self.args(frame, args)?;
                here(&expr.range);
                self.run_test(name, value, args)
            }
            What::Attr(base, name) => {
                let value = self.eval(frame, base)?;
                here(&expr.range);
                self.attribute(frame, base, value, &Val::Str(Arc::clone(name)), true, &expr.range)
            }
            What::Item(base, key) => {
                let value = self.eval(frame, base)?;
                let key = self.eval(frame, key)?;
                if matches!(value, Val::Undefined(_)) {
                    return Ok(value);
                }
                let key = self.defined(key)?;
                if let Val::Pending(_) = key {
                    return Ok(key);
                }
                here(&expr.range);
                self.attribute(frame, base, value, &key, false, &expr.range)
            }
            What::Slice(parts) => self.slice(frame, parts),
            What::Call(callee, args) => {
                let target = self.eval(frame, callee)?;
                if let (Val::Undefined(missing), What::Attr(base, name)) = (&target, &callee.what)
                    && let Absent::Field(_, value, _) = &missing.what
                {
                    let halt = said(format!(
                        "`{}` is {} and has no method `{name}`",
                        frame.place.slice(&base.range),
                        value.kind()
                    ));
                    return Err(self.fail_at(halt, frame.place, &callee.range));
                }
                let args = self.args(frame, args)?;
                here(&expr.range);
                self.call(frame, target, args)
            }
            What::List(items) => Ok(Val::list(self.evaluate_all(frame, items)?)),
            What::Tuple(items) => Ok(Val::Tuple(Rc::new(self.evaluate_all(frame, items)?))),
            What::Map(entries) => {
                let mut dict = super::value::Dict::with_capacity(entries.len());
                for (key, value) in entries {
                    let key = self.defined(self.eval(frame, key)?)?;
                    if let Val::Pending(_) = key {
                        return Ok(key);
                    }
                    dict.insert(Key::of(&key)?, self.eval(frame, value)?);
                }
                Ok(Val::dict(dict))
            }
        }
    }

    fn evaluate_all(&self, frame: &Frame<'a>, items: &[Expr]) -> Res<'a, Vec<Val<'a>>> {
        items.iter().map(|item| self.eval(frame, item)).collect()
    }

    fn attribute(
        &self,
        frame: &Frame<'a>,
        base: &Expr,
        value: Val<'a>,
        key: &Val<'a>,
        dotted: bool,
        range: &Range<usize>,
    ) -> Res<'a, Val<'a>> {
        if let Val::Undefined(_) = value {
            return Ok(value);
        }
        if let Val::Pending(waiting) = &value {
            return self.pending_field(waiting, key, frame.place.slice(&base.range));
        }
        match self.get(&value, key, dotted)? {
            Some(found) => self.force(found),
            None => Ok(Val::Undefined(Rc::new(Missing {
                what: Absent::Field(
                    frame.place.slice(&base.range).to_owned(),
                    value,
                    self.text(key).unwrap_or_default(),
                ),
                place: frame.place,
                range: range.clone(),
            }))),
        }
    }

    fn pending_field(&self, waiting: &Waiting, key: &Val<'a>, base: &str) -> Res<'a, Val<'a>> {
        let known = waiting.known.as_ref().zip(key.as_str());
        if let Some(value) = known.and_then(|(known, name)| known.get(name)) {
            return Ok(Val::from_json(value));
        }
        if let (Some(fields), Some(name)) = (waiting.fields, key.as_str()) {
            const ALWAYS: &[&str] = &["changed", "failed", "skipped", "results", "msg", "attempts"];
            const METHODS: &[&str] = &["get", "keys", "items", "values"];
            let known = fields.iter().chain(ALWAYS);
            if !known.clone().chain(METHODS).any(|f| *f == name) {
                let halt = said(format!("the result `{base}` will have no `{name}`"));
                return Err(match crate::yaml::did_you_mean(name, known.copied()) {
                    Some(near) => halt.help(format!("did you mean `{near}`?")),
                    None => halt.help(format!("it will have: {}", fields.join(", "))),
                });
            }
        }
        Ok(nameless_pending())
    }

    fn slice(&self, frame: &Frame<'a>, parts: &[Option<Expr>; 4]) -> Res<'a, Val<'a>> {
        let mut values = Vec::with_capacity(4);
        for part in parts {
            values.push(match part {
                Some(part) => self.defined(self.eval(frame, part)?)?,
                None => Val::None,
            });
        }
        if values.iter().any(|v| matches!(v, Val::Pending(_))) {
            return Ok(nameless_pending());
        }
        let number = |value: &Val<'a>| match value {
            Val::None => Ok(None),
            Val::Int(i) => Ok(Some((*i).clamp(i64::MIN.into(), i64::MAX.into()) as i64)),
            other => say(format!("a slice takes integers, not {}", other.kind())),
        };
        let (start, stop, step) = (
            number(&values[1])?,
            number(&values[2])?,
            number(&values[3])?.unwrap_or(1),
        );
        if step == 0 {
            return say("a slice's step cannot be 0");
        }
        if let Val::Str(text) = &values[0] {
            let chars: Vec<char> = text.chars().collect();
            return Ok(Val::str(
                picked(chars.len(), start, stop, step)
                    .map(|i| chars[i])
                    .collect::<String>(),
            ));
        }
        if !self.is_list(&values[0]) {
            return say(format!("{} cannot be sliced", values[0].kind()));
        }
        let items = self.elements(&values[0])?;
        Ok(Val::list(
            picked(items.len(), start, stop, step)
                .map(|i| items[i].clone())
                .collect(),
        ))
    }

    pub(super) fn args(&self, frame: &Frame<'a>, args: &[Arg]) -> Res<'a, Args<'a>> {
        let mut out = Args {
            positional: Vec::with_capacity(args.len()),
            named: Vec::new(),
        };
        for arg in args {
            match arg {
                Arg::Pos(expr) => out.positional.push(self.eval(frame, expr)?),
                Arg::Named(name, expr) => out.named.push((Arc::clone(name), self.eval(frame, expr)?)),
                Arg::Spread(expr) => {
                    let list = self.eval(frame, expr)?;
                    out.positional.extend(self.elements(&list)?);
                }
                Arg::SpreadNamed(expr) => {
                    let map = self.eval(frame, expr)?;
                    for (key, value) in self.entries(&map)? {
                        out.named.push((key.text().into(), value));
                    }
                }
            }
        }
        Ok(out)
    }

    fn apply_filter(
        &self,
        frame: &Frame<'a>,
        name: &Arc<str>,
        input: Val<'a>,
        args: &[Arg],
        range: &Range<usize>,
    ) -> Res<'a, Val<'a>> {
        let args = self.args(frame, args)?;
        self.set_here(frame.place, range);
        filter::apply(self, name, input, args).map_err(|h| self.fail_at(h, frame.place, range))
    }

    fn run_test(&self, name: &str, value: Val<'a>, args: Args<'a>) -> Res<'a, Val<'a>> {
        match test::apply(self, name, value, args) {
            Ok(answer) => Ok(Val::Bool(answer)),
            Err(Halt::Pending) => Ok(nameless_pending()),
            Err(other) => Err(other),
        }
    }

    pub(super) fn call(&self, frame: &Frame<'a>, callee: Val<'a>, args: Args<'a>) -> Res<'a, Val<'a>> {
        match callee {
            Val::Undefined(missing) => Err(Halt::Undefined(missing)),
            Val::Pending(waiting) => Ok(Val::Pending(waiting)),
            Val::Function(name) => self.function(name, args, frame.scope),
            Val::Macro(closure) => self.nested(|| self.call_macro(frame, &closure, args)),
            Val::Method(method) => {
                let (owner, name) = &*method;
                if args.positional.iter().any(|v| matches!(v, Val::Pending(_))) {
                    return Ok(nameless_pending());
                }
                super::method::call(self, owner, name, args)
            }
            Val::Loop(_) => say("`loop(…)`: recursive loops are known, not built yet"),
            other => say(format!("{} cannot be called", other.kind())),
        }
    }

    fn call_macro(&self, frame: &Frame<'a>, closure: &Closure<'a>, mut args: Args<'a>) -> Res<'a, Val<'a>> {
        let macro_: &Macro = &closure.macro_;
        let outer = frame.top();
        let base = closure.locals.clone().unwrap_or_else(|| Rc::clone(&frame.root));
        let locals = Locals::below(&base);
        let required = macro_.args.len() - macro_.defaults.len().min(macro_.args.len());
        let mut given = std::mem::take(&mut args.positional).into_iter();
        *frame.locals.borrow_mut() = Rc::clone(&locals);
        let result = (|| {
            for (index, name) in macro_.args.iter().enumerate() {
                let named = args.named.iter().position(|(n, _)| n == name);
                let value = match (given.next(), named) {
                    (Some(value), _) => value,
                    (None, Some(at)) => args.named.swap_remove(at).1,
                    (None, None) => match index.checked_sub(required).and_then(|i| macro_.defaults.get(i)) {
                        Some(default) => self.eval(frame, default)?,
                        None => Val::Undefined(Rc::new(Missing {
                            what: Absent::Note(format!("the macro `{}` was not given `{name}`", macro_.name)),
                            place: frame.place,
                            range: self.here().1,
                        })),
                    },
                };
                locals.set(Arc::clone(name), value);
            }
            locals.set("varargs".into(), Val::Tuple(Rc::new(given.collect())));
            let mut rest = super::value::Dict::new();
            for (name, value) in args.named {
                if &*name == "caller" {
                    locals.set(name, value);
                } else {
                    rest.insert(Key::Str(name), value);
                }
            }
            locals.set("kwargs".into(), Val::dict(rest));
            self.text_of(frame, &macro_.body)
        })();
        *frame.locals.borrow_mut() = outer;
        result
    }
}

/// A value that depends on something unknown; its names are noted already.
pub(super) fn nameless_pending<'a>() -> Val<'a> {
    Val::Pending(Rc::new(Waiting {
        fields: None,
        known: None,
    }))
}

fn name_range(place: &Place<'_>) -> Range<usize> {
    0..place.text().len()
}

/// The indexes that a Python slice picks.
pub(super) fn picked(len: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |value: Option<i64>, default: i64| match value {
        None => default,
        Some(v) if v < 0 => v.saturating_add(len).max(low),
        Some(v) => v.min(high),
    };
    let (from, to) = if step > 0 {
        (bound(start, 0), bound(stop, len))
    } else {
        (bound(start, len - 1), bound(stop, -1))
    };
    let mut at = from;
    std::iter::from_fn(move || {
        let go_on = if step > 0 { at < to } else { at > to };
        if !go_on {
            return None;
        }
        let here = at;
        at = at.saturating_add(step);
        usize::try_from(here).ok()
    })
}
