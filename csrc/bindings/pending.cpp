// Work that is put off so that it can be run together with what follows: `owe` and `put_off` of
// pynet/autograd/recording.py, whose class Pending says what the attributes mean. In C++ for the same reason as
// `record`.
#include "tape.h"

namespace pynet {
namespace {

const char kPutOffDoc[] =
    "put_off(operation, inputs, shape, dtype, /, **attributes)\n--\n\n"
    "`record` for an operation that may absorb the next one: it runs when somebody reads the result.\n\n"
    "Nothing is put off over memory that a user may write through NumPy, nor while fusion is disabled.\n\n"
    "Args:\n"
    "    operation, inputs, attributes: as for `record`.\n"
    "    shape, dtype: of the result.\n";

const char kOweDoc[] =
    "owe(operation, inputs, attributes, shape, dtype, known=True, /)\n--\n\n"
    "A Tensor that owes an operation; `known` to `flush_pending`, unless it belongs to one that is.\n";

py::object owe(const py::object& operation, const py::object& inputs, const py::object& attributes,
               const py::object& shape, const py::object& dtype, bool known) {
    const auto& of_tensor = tape->of_tensor;
    const auto& of_pending = tape->of_pending;
    const py::object work = instance(tape->pending), recording = mode_of(tape->grad_mode);
    py::object result = new_tensor();
    of_tensor.array.set(result.ptr(), py::none());
    of_tensor.pending.set(result.ptr(), work);
    of_tensor.storage.set(result.ptr(), tape->owed);
    if (recording.ptr() == Py_True)
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs.ptr()); ++i) {
            PyObject* t = PyTuple_GET_ITEM(inputs.ptr(), i);
            if (t == Py_None || of_tensor.requires_grad.get(t) != Py_True) continue;
            of_tensor.requires_grad.set(result.ptr(), py::bool_(true));
            break;
        }
    of_pending.operation.set(work.ptr(), operation);
    of_pending.inputs.set(work.ptr(), inputs);
    of_pending.attributes.set(work.ptr(), attributes);
    of_pending.shape.set(work.ptr(), shape);
    of_pending.dtype.set(work.ptr(), dtype);
    of_pending.recording.set(work.ptr(), recording);
    of_pending.followed_by.set(work.ptr(), py::bool_(false));
    for (const Slot* slot : {&of_pending.result, &of_pending.source, &of_pending.apart})
        slot->set(work.ptr(), py::none());
    if (!known) {
        of_pending.owner.set(work.ptr(), owned(PyWeakref_NewRef(result.ptr(), nullptr)));
        return result;
    }
    const py::object owners = tape->registry.attr("owners"), forget = owners.attr("discard");
    const py::object owner = owned(PyWeakref_NewRef(result.ptr(), forget.ptr()));
    if (PySet_Add(owners.ptr(), owner.ptr()) != 0) throw py::error_already_set();
    of_pending.owner.set(work.ptr(), owner);
    return result;
}

bool is_held(PyObject* t) { return tape->of_storage.held.get(tape->of_tensor.storage.get(t)) == Py_True; }

// The Tensor that owes the work, or None.
py::object owner_of(PyObject* work) { return owned(PyObject_CallNoArgs(tape->of_pending.owner.get(work))); }

// Whether nobody but the one that follows can ever ask for the result.
bool has_vanished(PyObject* work) {
    const auto& slots = tape->of_pending;
    if (slots.result.get(work) != Py_None || !owner_of(work).is_none()) return false;
    PyObject* source = slots.source.get(work);
    return source == Py_None || has_vanished(source);
}

// Sets the mode of recording, and back.
class Recording {
public:
    explicit Recording(PyObject* mode) {
        const py::object now = mode_of(tape->grad_mode);
        if (now.ptr() == mode) return;
        before_ = now;
        owned(PyContextVar_Set(tape->grad_mode.ptr(), mode));
    }
    ~Recording() {
        if (!before_) return;
        const py::error_scope kept;  // an error may be on its way
        Py_XDECREF(PyContextVar_Set(tape->grad_mode.ptr(), before_.ptr()));
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

private:
    py::object before_;
};

// The result, computed and recorded in the mode that it was asked for in.
py::object run(PyObject* pending) {
    const py::object work = borrowed(pending);  // the Tensor that holds it lets it go
    const auto& slots = tape->of_pending;
    py::object result = borrowed(slots.result.get(pending));
    if (!result.is_none()) return result;
    py::object operation = borrowed(slots.operation.get(pending)), inputs = borrowed(slots.inputs.get(pending)),
               attributes = borrowed(slots.attributes.get(pending));
    const py::object source = borrowed(slots.source.get(pending));
    if (!source.is_none() && !has_vanished(source.ptr())) {  // somebody still has the Tensor between them
        const py::tuple apart = borrowed(slots.apart.get(pending));
        operation = apart[0], attributes = apart[3];
        py::list parts;
        for (const py::handle t : apart[1]) parts.append(t);
        parts.append(run(source.ptr()));
        for (const py::handle t : apart[2]) parts.append(t);
        inputs = py::tuple(parts);
    }
    const py::object owner = owner_of(pending);
    {
        const Recording mode(slots.recording.get(pending));
        result = record(operation.ptr(), inputs.ptr(), owner.is_none() ? nullptr : owner.ptr(),
                        py::reinterpret_borrow<py::dict>(attributes));
    }
    slots.inputs.set(pending, py::tuple());
    slots.source.set(pending, py::none());
    slots.apart.set(pending, py::none());
    slots.result.set(pending, result);
    return result;
}

PyObject* put_off_call(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    return guarded([&]() -> py::object {
        if (count != 4 || !is_instance(args[0], tape->operation) || !PyTuple_Check(args[1]))
            throw py::type_error("put_off(operation, inputs, shape, dtype, /, **attributes): an Operation and a tuple");
        const py::dict attributes = keywords(args, count, names);
        bool waits = !is_listened_to() && mode_of(tape->fusion_mode).ptr() == Py_True;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[1]); ++i) {
            PyObject* t = PyTuple_GET_ITEM(args[1], i);
            if (t == Py_None) continue;
            settled(t);  // so that pending work never piles up
            if (is_held(t)) waits = false;
        }
        if (!waits) return record(args[0], args[1], nullptr, attributes);
        return owe(borrowed(args[0]), borrowed(args[1]), attributes, borrowed(args[2]), borrowed(args[3]), true);
    });
}

PyObject* owe_call(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded([&] {
        if (count < 5 || count > 6 || !is_instance(args[0], tape->operation) || !PyTuple_Check(args[1]) ||
            !PyDict_Check(args[2]))
            throw py::type_error("owe(operation, inputs, attributes, shape, dtype, known=True, /)");
        return owe(borrowed(args[0]), borrowed(args[1]), borrowed(args[2]), borrowed(args[3]), borrowed(args[4]),
                   count < 6 || args[5] == Py_True);
    });
}

PyMethodDef kPutOff = {"put_off", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(put_off_call)),
                       METH_FASTCALL | METH_KEYWORDS, kPutOffDoc};
PyMethodDef kOwe = {"owe", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(owe_call)), METH_FASTCALL,
                    kOweDoc};

}  // namespace

py::object followed(PyObject* work, PyObject* owner, PyObject* operation, PyObject* inputs,
                    const py::dict& attributes) {
    const auto& slots = tape->of_pending;
    const py::object absorb = borrowed(tape->of_operation.absorb.get(slots.operation.get(work)));
    if (absorb.is_none() || slots.followed_by.get(work) == Py_True || is_listened_to()) return py::none();
    if (mode_of(tape->grad_mode).ptr() != slots.recording.get(work) || mode_of(tape->fusion_mode).ptr() != Py_True)
        return py::none();
    const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
    Py_ssize_t place = 0, places = 0;
    for (Py_ssize_t i = 0; i < count; ++i)
        if (PyTuple_GET_ITEM(inputs, i) == owner && places++ == 0) place = i;
    if (places > 1) return py::none();
    const py::object before = owned(PyTuple_GetSlice(inputs, 0, place)),
                     after = owned(PyTuple_GetSlice(inputs, place + 1, count)),
                     others = owned(PySequence_Concat(before.ptr(), after.ptr()));
    PyObject* arguments[] = {work, tape->of_operation.name.get(operation), others.ptr(), attributes.ptr()};
    const py::object whole = owned(PyObject_Vectorcall(absorb.ptr(), arguments, 4, nullptr));
    if (whole.is_none()) return whole;
    if (!PyTuple_Check(whole.ptr()) || PyTuple_GET_SIZE(whole.ptr()) != 4)
        throw py::type_error("absorb returns (operation, inputs, attributes, shape) or None");
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(others.ptr()); ++i) {
        PyObject* t = PyTuple_GET_ITEM(others.ptr(), i);
        if (t == Py_None) continue;
        settled(t);
        if (is_held(t)) return py::none();
    }
    slots.followed_by.set(work, py::bool_(true));
    const auto part = [&](Py_ssize_t i) { return borrowed(PyTuple_GET_ITEM(whole.ptr(), i)); };
    py::object result = owe(part(0), part(1), part(2), part(3), borrowed(slots.dtype.get(work)), true);
    PyObject* next = tape->of_tensor.pending.get(result.ptr());
    slots.source.set(next, borrowed(work));
    slots.apart.set(next, py::make_tuple(borrowed(operation), before, after, attributes));
    return result;
}

py::object settled(PyObject* t) {
    const auto& slots = tape->of_tensor;
    if (slots.array.get(t) == Py_None && slots.pending.get(t) != Py_None) run(slots.pending.get(t));
    return borrowed(slots.array.get(t));
}

py::object make_put_off() { return owned(PyCFunction_New(&kPutOff, nullptr)); }
py::object make_owe() { return owned(PyCFunction_New(&kOwe, nullptr)); }

}  // namespace pynet
