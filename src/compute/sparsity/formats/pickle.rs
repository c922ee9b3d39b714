//! Pickles as torch writes them, read without running anything.
//!
//! A pickle is a program for a small stack machine. Here only what builds numbers, texts, containers and tensors is
//! understood; everything else, above all a call of anything that is not listed, is refused by name.

use std::collections::HashMap;
use std::rc::Rc;

use super::element::Element;

/// A value on the stack; containers lie in [`Unpickled`], so that sharing, cycles and depth cost nothing.
#[derive(Debug, Clone)]
pub enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Text(Rc<str>),
    Bytes,
    Class(Class),
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    /// A value without weights: a device, a size.
    Other,
}

/// What may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    OrderedDict,
    /// A storage whose elements are all of one kind; `None`: bytes, whose tensors tell their kind.
    Storage(Option<Element>),
    Dtype(Element),
    Tensor,
    TensorV2,
    TensorV3,
    Parameter,
    Size,
    Device,
}

/// Memory that tensors look into.
#[derive(Debug, Clone)]
pub struct Storage {
    pub key: Rc<str>,
    pub element: Option<Element>,
    /// In a storage that is part of another: where it begins there.
    pub start: u64,
}

#[derive(Debug, Clone)]
pub struct Tensor {
    pub storage: usize,
    pub element: Element,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub steps: Vec<u64>,
}

/// What a pickle holds.
#[derive(Debug)]
pub struct Unpickled {
    pub top: Value,
    pub tuples: Vec<Vec<Value>>,
    pub lists: Vec<Vec<Value>>,
    pub dicts: Vec<Vec<(Value, Value)>>,
    pub storages: Vec<Storage>,
    pub tensors: Vec<Tensor>,
    /// Bytes of the pickle.
    pub length: usize,
}

/// Reads one pickle at the start of `bytes`.
///
/// # Errors
/// What is wrong and at which byte, in words.
pub fn unpickle(bytes: &[u8]) -> Result<Unpickled, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        storage_of_key: HashMap::new(),
        heap: Unpickled {
            top: Value::None,
            tuples: Vec::new(),
            lists: Vec::new(),
            dicts: Vec::new(),
            storages: Vec::new(),
            tensors: Vec::new(),
            length: 0,
        },
    };
    machine.run()?;
    Ok(machine.heap)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Lengths of the stack when marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    storage_of_key: HashMap<(Rc<str>, u64), usize>,
    heap: Unpickled,
}

/// Arguments of a call, dimensions of a tensor.
const MOST_ARGUMENTS: usize = 64;

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<()> {
        loop {
            let start = self.at;
            let code = self.take(1)?[0];
            if code == b'.' {
                self.heap.top = self.pop()?;
                self.heap.length = self.at;
                return Ok(());
            }
            self.step(code).map_err(|what| format!("{what} (byte {start} of the pickle)"))?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            // PROTO, FRAME: nothing to do.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88)),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            b'K' => {
                let value = self.take(1)?[0];
                self.push(Value::Int(value.into()))
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))
            }
            0x8a => {
                let length = self.take(1)?[0];
                self.long(length.into())
            }
            0x8b => {
                let length = i32::from_le_bytes(self.array()?);
                self.long(usize::try_from(length).map_err(|_| "a whole number of negative length".to_owned())?)
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.text(length)
            }
            0x8c => {
                let length = self.take(1)?[0];
                self.text(length.into())
            }
            0x8d => {
                let length = self.length_of_eight()?;
                self.text(length)
            }
            // Texts of Python 2.
            b'U' => {
                let length = self.take(1)?[0];
                self.text(length.into())
            }
            b'T' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.text(length)
            }
            b'C' => {
                let length = self.take(1)?[0];
                self.take(length.into())?;
                self.push(Value::Bytes)
            }
            b'B' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.take(length)?;
                self.push(Value::Bytes)
            }
            0x8e => {
                let length = self.length_of_eight()?;
                self.take(length)?;
                self.push(Value::Bytes)
            }
            b')' => self.push_tuple(Vec::new()),
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let floor = self.marks.last().copied().unwrap_or(0);
                let first = self.stack.len().checked_sub(count).filter(|&first| first >= floor);
                let first = first.ok_or("a tuple of missing values")?;
                let values = self.stack.split_off(first);
                self.push_tuple(values)
            }
            b't' => {
                let values = self.pop_mark()?;
                self.push_tuple(values)
            }
            b']' => self.push_list(Vec::new()),
            b'l' => {
                let values = self.pop_mark()?;
                self.push_list(values)
            }
            b'}' => self.push_dict(),
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])
            }
            b'e' => {
                let values = self.pop_mark()?;
                self.append(values)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])
            }
            b'u' => {
                let values = self.pop_mark()?;
                self.set_items(values)
            }
            b'q' => {
                let place = self.take(1)?[0];
                self.remember(place.into())
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?);
                self.remember(place.into())
            }
            0x94 => self.remember(self.memo.len() as u64),
            b'h' => {
                let place = self.take(1)?[0];
                self.recall(place.into())
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place.into())
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Value::Class(class(&module, &name)?))
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.push(Value::Class(class(&module, &name)?)),
                _ => Err("a class without a name".to_owned()),
            },
            b'R' => self.reduce(),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            code => Err(format!("the pickle opcode {} is not allowed; only plain tensors are read", opcode_name(code))),
        }
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the pickle is cut off at byte {}", self.bytes.len()))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn array<const SIZE: usize>(&mut self) -> Step<[u8; SIZE]> {
        Ok(self.take(SIZE)?.as_chunks().0[0])
    }

    fn length_of_eight(&mut self) -> Step<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "a length beyond counting".to_owned())
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Step<String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("a name without an end")?;
        let line = self.take(length + 1)?;
        String::from_utf8(line[..length].to_vec()).map_err(|_| "a name that is no text".to_owned())
    }

    fn push(&mut self, value: Value) -> Step<()> {
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Step<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value is missing on the stack".to_owned());
        }
        Ok(self.stack.pop().unwrap_or(Value::None))
    }

    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        let mark = mark.ok_or("a mark is missing on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn text(&mut self, length: usize) -> Step<()> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a text that is no UTF-8".to_owned())?;
        self.push(Value::Text(text.into()))
    }

    fn long(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?;
        if length > 16 {
            return Err("a whole number of more than 16 bytes".to_owned());
        }
        let is_negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
        let mut all = [if is_negative { 0xff } else { 0 }; 16];
        all[..length].copy_from_slice(bytes);
        self.push(Value::Int(i128::from_le_bytes(all)))
    }

    fn push_tuple(&mut self, values: Vec<Value>) -> Step<()> {
        self.heap.tuples.push(values);
        self.push(Value::Tuple(self.heap.tuples.len() - 1))
    }

    fn push_list(&mut self, values: Vec<Value>) -> Step<()> {
        self.heap.lists.push(values);
        self.push(Value::List(self.heap.lists.len() - 1))
    }

    fn push_dict(&mut self) -> Step<()> {
        self.heap.dicts.push(Vec::new());
        self.push(Value::Dict(self.heap.dicts.len() - 1))
    }

    fn append(&mut self, values: Vec<Value>) -> Step<()> {
        match self.stack.last() {
            Some(&Value::List(list)) => {
                self.heap.lists[list].extend(values);
                Ok(())
            }
            _ => Err("values are appended to something that is no list".to_owned()),
        }
    }

    fn set_items(&mut self, values: Vec<Value>) -> Step<()> {
        let (pairs, rest) = values.as_chunks::<2>();
        match self.stack.last() {
            Some(&Value::Dict(dict)) if rest.is_empty() => {
                self.heap.dicts[dict].extend(pairs.iter().map(|[key, value]| (key.clone(), value.clone())));
                Ok(())
            }
            _ => Err("items are set on something that is no dict".to_owned()),
        }
    }

    fn remember(&mut self, place: u64) -> Step<()> {
        let value = self.stack.last().ok_or("nothing to remember")?.clone();
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Step<()> {
        let value = self.memo.get(&place).ok_or_else(|| format!("nothing was remembered as {place}"))?.clone();
        self.push(value)
    }

    /// A call: only of what makes plain values.
    fn reduce(&mut self) -> Step<()> {
        let Value::Tuple(args) = self.pop()? else { return Err("a call without arguments".to_owned()) };
        let Value::Class(class) = self.pop()? else { return Err("a call of something that is no function".to_owned()) };
        if self.heap.tuples[args].len() > MOST_ARGUMENTS {
            return Err("a call with too many arguments".to_owned());
        }
        let args = self.heap.tuples[args].clone();
        match class {
            Class::OrderedDict => {
                if let [Value::List(items)] = args[..] {
                    // Taken, not copied: lists that are used again and again would cost more than their file.
                    let pairs = std::mem::take(&mut self.heap.lists[items]);
                    let pairs = pairs.into_iter().filter_map(|pair| match pair {
                        Value::List(list) => self.heap.lists[list].as_chunks::<2>().0.first().cloned(),
                        Value::Tuple(tuple) => self.heap.tuples[tuple].as_chunks::<2>().0.first().cloned(),
                        _ => None,
                    });
                    let pairs = pairs.map(|[key, value]| (key, value)).collect();
                    self.heap.dicts.push(pairs);
                    return self.push(Value::Dict(self.heap.dicts.len() - 1));
                }
                self.push_dict()
            }
            Class::Tensor | Class::TensorV2 | Class::TensorV3 => {
                let tensor = self.tensor(class, &args)?;
                self.heap.tensors.push(tensor);
                self.push(Value::Tensor(self.heap.tensors.len() - 1))
            }
            Class::Parameter => match args.first() {
                Some(value @ Value::Tensor(_)) => self.push(value.clone()),
                _ => Err("a Parameter without a tensor".to_owned()),
            },
            Class::Size | Class::Device => self.push(Value::Other),
            Class::Storage(_) | Class::Dtype(_) => Err("a call of a storage or a dtype".to_owned()),
        }
    }

    fn tensor(&self, class: Class, args: &[Value]) -> Step<Tensor> {
        let [Value::Storage(storage), offset, shape, steps, rest @ ..] = args else {
            return Err("a tensor without storage, offset, size and stride".to_owned());
        };
        let own = self.heap.storages[*storage].element;
        let element = match (class, rest) {
            (Class::TensorV3, [_, _, Value::Class(Class::Dtype(element)), ..]) => Some(*element),
            (Class::TensorV3, _) => None,
            _ => own,
        };
        let whole = |value: &Value, what: &str| match value {
            Value::Int(value) => u64::try_from(*value).map_err(|_| format!("a tensor whose {what} is {value}")),
            _ => Err(format!("a tensor whose {what} is no whole number")),
        };
        let all = |value: &Value, what: &str| match value {
            Value::Tuple(tuple) if self.heap.tuples[*tuple].len() > MOST_ARGUMENTS => {
                Err(format!("a tensor with more than {MOST_ARGUMENTS} dimensions"))
            }
            Value::Tuple(tuple) => self.heap.tuples[*tuple].iter().map(|value| whole(value, what)).collect(),
            _ => Err(format!("a tensor whose {what} is no tuple")),
        };
        let shape: Vec<u64> = all(shape, "size")?;
        let steps: Vec<u64> = all(steps, "stride")?;
        if shape.len() != steps.len() {
            return Err(format!("a tensor with {} sizes and {} strides", shape.len(), steps.len()));
        }
        Ok(Tensor {
            storage: *storage,
            element: element.ok_or("a tensor whose dtype is not told")?,
            offset: whole(offset, "offset")?,
            shape,
            steps,
        })
    }

    /// Attributes of an object: what torch sets on dicts (`_metadata`) holds no weights.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_) | Value::Tensor(_)) => Ok(()),
            _ => Err("a state is set on an object that is not known".to_owned()),
        }
    }

    /// A storage: ("storage", class, key, device, elements) and, in the older form, what part of another it is.
    fn persistent(&mut self) -> Step<()> {
        let Value::Tuple(tuple) = self.pop()? else { return Err("a reference that is no tuple".to_owned()) };
        if self.heap.tuples[tuple].len() > MOST_ARGUMENTS {
            return Err("a reference with too many parts".to_owned());
        }
        let parts = self.heap.tuples[tuple].clone();
        let [
            Value::Text(kind),
            Value::Class(Class::Storage(element)),
            Value::Text(key),
            _,
            Value::Int(count),
            rest @ ..,
        ] = &parts[..]
        else {
            return Err("a reference to something that is no storage".to_owned());
        };
        if &**kind != "storage" {
            return Err(format!("a reference to a {kind}, which is not read; save tensors or a state dict"));
        }
        if *count < 0 {
            return Err("a storage of negative size".to_owned());
        }
        let (key, mut start) = (key.clone(), 0);
        if let [Value::Tuple(view)] = rest {
            match &self.heap.tuples[*view][..] {
                [Value::Text(_), Value::Int(offset), Value::Int(_)] => {
                    start = u64::try_from(*offset).map_err(|_| "a storage with a negative offset".to_owned())?;
                }
                _ => return Err("a storage that is an unknown part of another".to_owned()),
            }
        }
        let place = (key.clone(), start);
        let storages = &mut self.heap.storages;
        let index = *self.storage_of_key.entry(place).or_insert_with(|| {
            storages.push(Storage { key, element: *element, start });
            storages.len() - 1
        });
        self.push(Value::Storage(index))
    }
}

fn class(module: &str, name: &str) -> Step<Class> {
    const STORAGES: [(&str, Element); 12] = [
        ("FloatStorage", Element::F32),
        ("HalfStorage", Element::F16),
        ("BFloat16Storage", Element::BF16),
        ("DoubleStorage", Element::F64),
        ("CharStorage", Element::I8),
        ("ByteStorage", Element::U8),
        ("ShortStorage", Element::I16),
        ("IntStorage", Element::I32),
        ("LongStorage", Element::I64),
        ("BoolStorage", Element::BOOL),
        ("Float8_e4m3fnStorage", Element::F8_E4M3),
        ("Float8_e5m2Storage", Element::F8_E5M2),
    ];
    const DTYPES: [Element; 15] = [
        Element::F16,
        Element::BF16,
        Element::F32,
        Element::F64,
        Element::F8_E4M3,
        Element::F8_E5M2,
        Element::BOOL,
        Element::I8,
        Element::U8,
        Element::I16,
        Element::U16,
        Element::I32,
        Element::U32,
        Element::I64,
        Element::U64,
    ];
    let no_numbers = |why: &str| {
        Err(format!(
            "holds {why} ({module}.{name}), which is no plain matrix of weights. Save the weights as a dense tensor of floats"
        ))
    };
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Class::OrderedDict),
        ("torch._utils", "_rebuild_tensor") => Ok(Class::Tensor),
        ("torch._utils", "_rebuild_tensor_v2") => Ok(Class::TensorV2),
        ("torch._utils", "_rebuild_tensor_v3") => Ok(Class::TensorV3),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Ok(Class::Parameter),
        ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => no_numbers("a sparse tensor"),
        ("torch._utils", "_rebuild_qtensor") => no_numbers("a quantised tensor"),
        ("torch._utils", "_rebuild_nested_tensor" | "_rebuild_meta_tensor_no_storage") => {
            no_numbers("a tensor without plain storage")
        }
        ("torch", "Size") => Ok(Class::Size),
        ("torch", "device") => Ok(Class::Device),
        ("torch", "ComplexFloatStorage" | "ComplexDoubleStorage" | "ComplexHalfStorage") => {
            no_numbers("complex numbers")
        }
        ("torch" | "torch.storage", "UntypedStorage") => Ok(Class::Storage(None)),
        ("torch", name) => {
            let storage =
                STORAGES.iter().find(|(known, _)| *known == name).map(|(_, kind)| Class::Storage(Some(*kind)));
            let dtype = DTYPES.iter().find(|known| known.name == name).map(|kind| Class::Dtype(*kind));
            storage.or(dtype).ok_or_else(|| foreign(module, name))
        }
        _ => Err(foreign(module, name)),
    }
}

fn foreign(module: &str, name: &str) -> String {
    format!(
        "wants to call {module}.{name}, which is not a plain tensor. Nothing was run. Save tensors or a state dict \
         (torch.save(model.state_dict(), name))"
    )
}

/// What Python calls an opcode.
fn opcode_name(code: u8) -> String {
    let name = match code {
        b'2' => "DUP",
        b'F' => "FLOAT",
        b'I' => "INT",
        b'L' => "LONG",
        b'P' => "PERSID",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'd' => "DICT",
        b'g' => "GET",
        b'i' => "INST",
        b'o' => "OBJ",
        b'p' => "PUT",
        0x81 => "NEWOBJ",
        0x82..=0x84 => "EXT",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x92 => "NEWOBJ_EX",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("{code:#04x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_allowed_is_refused_by_name() {
        for (pickle, found) in [
            (&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], "os.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
            (b"(ios\nsystem\n.", "INST"),
            (b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.", "quantised"),
            (b"\x80\x02}\x81.", "NEWOBJ"),
            (b"\x80\x02\xffx.", "0xff"),
            (b"\x80\x02]", "cut off"),
            (b"\x80\x02X\xff\xff\xff\xff", "cut off"),
            (b"\x80\x02N0.", "missing"),
            (b"(.", "missing"),
            (b"\x80\x02u.", "mark is missing"),
            (b"h\x07.", "remembered as 7"),
        ] {
            let error = unpickle(pickle).map(drop).expect_err(found);
            assert!(error.contains(found), "{found}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            unpickle(&bytes).ok();
        }

        #[test]
        fn no_opcodes_do_harm(codes in proptest::collection::vec(
            proptest::sample::select(&b"(01N\x88\x89K)\x85\x86\x87t]l}aesuqh\x94RbQ."[..]), 0..300,
        )) {
            unpickle(&codes).ok();
        }
    }
}
