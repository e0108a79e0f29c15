//! Runs an engine file on raw tensors, as ../c/run.c does: ./run MODEL.engine input.bin ... -- output.bin ...
//! Only the standard library and ircc.c are needed. Built by: make

use std::ffi::{c_char, c_void, CStr, CString};
use std::{env, fs, ptr, slice};

#[repr(C)]
struct Port {
    name: *const c_char,
    sizes: *const i64,
    symbols: *const *const c_char,
    in_place: *const i32,
    in_place_count: i32,
    kind: i32,
    rank: i32,
    flags: i32,
}
#[repr(C)]
struct Info {
    abi_version: i32,
    target_count: i32,
    input_count: i32,
    output_count: i32,
    inputs: *const Port,
    outputs: *const Port,
    targets: *const *const c_char,
    version: *const c_char,
}
#[repr(C)]
struct Library {
    handle: *mut c_void,
    abi_version: extern "C" fn() -> i32,
    describe: extern "C" fn() -> *const Info,
    select: extern "C" fn() -> i32,
    missing: extern "C" fn() -> *const c_char,
    engine_create: extern "C" fn(i32, *mut *mut c_void) -> i32,
    engine_set_threads: extern "C" fn(*mut c_void, i32) -> i32,
    engine_destroy: extern "C" fn(*mut c_void),
    context_create: extern "C" fn(*mut c_void, *mut *mut c_void) -> i32,
    context_destroy: extern "C" fn(*mut c_void),
    context_resize: extern "C" fn(*mut c_void, *const i64, *mut i64) -> i32,
    context_run: extern "C" fn(*mut c_void, *const *const c_void, *mut *mut c_void) -> i32,
    context_sizes: extern "C" fn(*mut c_void, *mut i64),
    context_error: extern "C" fn(*mut c_void) -> *const c_char,
}
extern "C" {
    fn ircc_open(path: *const c_char, check: i32, library: *mut Library, text: *mut c_char, size: usize) -> i32;
    fn ircc_close(library: *mut Library);
}
const LATE: i32 = 2;
const WIDTHS: [usize; 27] = [0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

/// Bytes of each of some tensors, given the sizes of all of them, one after the other.
fn lengths(ports: &[Port], mut sizes: &[i64]) -> Vec<usize> {
    let length = |port: &Port| {
        let (own, rest) = sizes.split_at(port.rank as usize);
        sizes = rest;
        own.iter().fold(WIDTHS[port.kind as usize], |bytes, &n| bytes * n as usize)
    };
    ports.iter().map(length).collect()
}

fn text(chars: *const c_char) -> String {
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().collect();
    let path = CString::new(words.get(1).ok_or("run MODEL.engine input.bin ... -- output.bin ...")?.as_str())?;
    let (mut made, mut why) = (std::mem::MaybeUninit::<Library>::uninit(), [0; 512]);
    if unsafe { ircc_open(path.as_ptr(), 0, made.as_mut_ptr(), why.as_mut_ptr(), why.len()) } != 0 {
        return Err(text(why.as_ptr()).into());
    }
    let mut library = unsafe { made.assume_init() };
    let info = unsafe { &*(library.describe)() };
    let inputs = unsafe { slice::from_raw_parts(info.inputs, info.input_count as usize) };
    let outputs = unsafe { slice::from_raw_parts(info.outputs, info.output_count as usize) };
    if words.len() != 3 + inputs.len() + outputs.len() {
        return Err("a file for each input, --, and a file for each output are needed".into());
    }
    let mut sizes: Vec<i64> = Vec::new();
    for port in inputs.iter().filter(|port| port.rank > 0) {
        sizes.extend(unsafe { slice::from_raw_parts(port.sizes, port.rank as usize) });
    }
    if let Ok(given) = env::var("SIZES") {
        sizes = given.split(',').map(str::parse).collect::<Result<_, _>>()?; // where the model leaves some open
    }
    let given: Vec<Vec<u8>> = words[2..2 + inputs.len()].iter().map(fs::read).collect::<Result<_, _>>()?;

    let (mut engine, mut context) = (ptr::null_mut(), ptr::null_mut());
    if (library.engine_create)(0, &mut engine) != 0 || (library.context_create)(engine, &mut context) != 0 {
        return Err("no memory".into());
    }
    let mut found = vec![0; outputs.iter().map(|port| port.rank as usize).sum::<usize>() + 1];
    if (library.context_resize)(context, sizes.as_ptr(), found.as_mut_ptr()) != 0 {
        return Err(text((library.context_error)(context)).into());
    }
    if lengths(inputs, &sizes) != given.iter().map(Vec::len).collect::<Vec<_>>() {
        return Err("a file has not the size of its input".into());
    }
    let mut own: Vec<Vec<u8>> = lengths(outputs, &found).into_iter().map(|bytes| vec![0; bytes]).collect();
    let from: Vec<*const c_void> = given.iter().map(|bytes| bytes.as_ptr().cast()).collect();
    let mut to: Vec<*mut c_void> = own.iter_mut().map(|bytes| bytes.as_mut_ptr().cast()).collect();
    if (library.context_run)(context, from.as_ptr(), to.as_mut_ptr()) != 0 {
        return Err(text((library.context_error)(context)).into());
    }
    (library.context_sizes)(context, found.as_mut_ptr());
    for (i, bytes) in lengths(outputs, &found).into_iter().enumerate() {
        if outputs[i].flags & LATE != 0 && bytes > 0 {
            own[i] = unsafe { slice::from_raw_parts(to[i].cast(), bytes) }.to_vec(); // memory of the context
        }
        fs::write(&words[3 + inputs.len() + i], &own[i])?;
    }
    (library.context_destroy)(context);
    (library.engine_destroy)(engine);
    unsafe { ircc_close(&mut library) };
    Ok(())
}
