// `record`, the one way of every operation to the tape. What it does are a few dozen reads and writes of attributes;
// done in Python they would take several times as long as a small operation itself.
#include "tape.h"

#include <algorithm>

#include "arrays.h"

namespace pynet {

Tape* tape = nullptr;

namespace {

const char kDoc[] =
    "record(operation, inputs, result=None, /, **attributes)\n--\n\n"
    "Runs an operation, announces it and, when a gradient may be asked for, puts it on the tape.\n\n"
    "Where an input is pending and its operation can absorb this one, the result is pending in turn.\n\n"
    "Args:\n"
    "    operation: what to run.\n"
    "    inputs: a tuple of Tensors, or None for an optional input that is absent.\n"
    "    result: the Tensor that waits for the one output; a new one by default.\n"
    "    attributes: handed to forward and backward by name.\n"
    "Returns:\n"
    "    One Tensor, or a tuple of them when the forward returns a tuple.\n";

// Whether a gradient may be asked for.
bool is_recorded(PyObject* operation, PyObject* inputs) {
    if (mode_of(tape->grad_mode).ptr() != Py_True || tape->of_operation.backward.get(operation) == Py_None)
        return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); ++i) {
        PyObject* t = PyTuple_GET_ITEM(inputs, i);
        if (t != Py_None && tape->of_tensor.requires_grad.get(t) == Py_True) return true;
    }
    return false;
}

py::object new_node(PyObject* operation, PyObject* inputs, const py::dict& attributes, const py::object& out,
                    const py::object& saved, const py::object& storage) {
    const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
    py::list edges(count), storages;
    storages.append(storage);
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* t = PyTuple_GET_ITEM(inputs, i);
        const bool present = t != Py_None;
        if (present) storages.append(borrowed(tape->of_tensor.storage.get(t)));
        py::object edge = present && tape->of_tensor.requires_grad.get(t) == Py_True ? edge_of(t) : py::none();
        PyList_SET_ITEM(edges.ptr(), i, edge.release().ptr());
    }
    py::object node = instance(tape->node);
    const auto& slots = tape->of_node;
    slots.serial.set(node.ptr(), owned(PyIter_Next(tape->clock.ptr())));
    slots.operation.set(node.ptr(), borrowed(operation));
    slots.attributes.set(node.ptr(), attributes);
    slots.edges.set(node.ptr(), edges);
    slots.saved.set(node.ptr(), saved);
    slots.storages.set(node.ptr(), storages);
    slots.shape.set(node.ptr(), owned(PyObject_GetAttr(out.ptr(), tape->shape.ptr())));
    slots.dtype.set(node.ptr(), owned(PyObject_GetAttr(out.ptr(), tape->dtype.ptr())));
    slots.hooks.set(node.ptr(), py::none());
    slots.retained.set(node.ptr(), py::none());
    return node;
}

}  // namespace

py::object edge_of(PyObject* t) {
    PyObject* node = tape->of_tensor.node.get(t);
    if (node == Py_None) return borrowed(t);
    return owned(PyTuple_Pack(2, node, tape->of_tensor.output_index.get(t)));
}

py::object new_tensor() {
    const auto& slots = tape->of_tensor;
    py::object result = instance(tape->tensor);
    for (const Slot* slot : {&slots.node, &slots.grad, &slots.hooks}) slot->set(result.ptr(), py::none());
    slots.output_index.set(result.ptr(), tape->zero);
    slots.requires_grad.set(result.ptr(), py::bool_(false));
    return result;
}

py::object new_storage(bool held) {
    const auto& slots = tape->of_storage;
    py::object storage = instance(tape->storage);
    for (const Slot* slot : {&slots.written, &slots.low, &slots.high}) slot->set(storage.ptr(), tape->zero);
    slots.held.set(storage.ptr(), py::bool_(held));
    return storage;
}

void wrote(PyObject* t, int64_t now) {
    const auto& slots = tape->of_storage;
    PyObject* storage = tape->of_tensor.storage.get(t);
    auto [low, high] = byte_bounds(as_array(settled(t)));
    if (slots.written.number(storage)) {
        low = std::min(low, static_cast<uintptr_t>(slots.low.number(storage)));
        high = std::max(high, static_cast<uintptr_t>(slots.high.number(storage)));
    }
    slots.low.set(storage, py::int_(low));
    slots.high.set(storage, py::int_(high));
    slots.written.set(storage, py::int_(now));
    tape->last_write = now;
}

py::dict keywords(PyObject* const* args, Py_ssize_t count, PyObject* names) {
    py::dict found;
    for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
        if (PyDict_SetItem(found.ptr(), PyTuple_GET_ITEM(names, i), args[count + i]) != 0)
            throw py::error_already_set();
    return found;
}

py::object record(PyObject* operation, PyObject* inputs, PyObject* waiting, const py::dict& attributes) {
    const auto& slots = tape->of_tensor;
    const Py_ssize_t count = PyTuple_GET_SIZE(inputs);
    std::vector<py::object> arrays;
    arrays.reserve(static_cast<size_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* t = PyTuple_GET_ITEM(inputs, i);
        if (t == Py_None) {
            arrays.push_back(py::none());
            continue;
        }
        if (!is_instance(t, tape->tensor))
            throw py::type_error(std::string("record: an input must be a Tensor or None, got ") + Py_TYPE(t)->tp_name);
        py::object array = borrowed(slots.array.get(t));
        if (array.is_none()) {
            py::object together = followed(slots.pending.get(t), t, operation, inputs, attributes);
            if (!together.is_none()) return together;
            array = settled(t);
        }
        arrays.push_back(std::move(array));
    }
    static_assert(sizeof(py::object) == sizeof(PyObject*), "a vector of objects is an array of pointers");
    const py::object pair = owned(PyObject_VectorcallDict(tape->of_operation.forward.get(operation),
                                                          reinterpret_cast<PyObject* const*>(arrays.data()),
                                                          static_cast<size_t>(count), attributes.ptr()));
    if (!PyTuple_Check(pair.ptr()) || PyTuple_GET_SIZE(pair.ptr()) != 2)
        throw py::type_error("record: a forward returns (out, saved)");
    const py::object first = borrowed(PyTuple_GET_ITEM(pair.ptr(), 0)),
                     saved = borrowed(PyTuple_GET_ITEM(pair.ptr(), 1));
    if (PyTuple_CheckExact(first.ptr()))
        return tape->record_outputs(borrowed(operation), borrowed(inputs), attributes, first, saved);
    if (first.is_none()) throw py::type_error("record: a forward returns (out, saved), out an ndarray or several");
    const py::object out = as_array(first);

    py::object result = waiting ? borrowed(waiting) : new_tensor();
    const bool view = tape->of_operation.view.get(operation) == Py_True;
    const py::object storage = view ? borrowed(slots.storage.get(PyTuple_GET_ITEM(inputs, 0))) : new_storage(false);
    slots.array.set(result.ptr(), out);
    slots.pending.set(result.ptr(), py::none());
    slots.storage.set(result.ptr(), storage);
    if (is_recorded(operation, inputs)) {
        slots.node.set(result.ptr(), new_node(operation, inputs, attributes, out, saved, storage));
        slots.requires_grad.set(result.ptr(), py::bool_(true));
    }
    if (is_listened_to())
        tape->announce(borrowed(tape->of_operation.name.get(operation)), attributes, borrowed(inputs),
                       py::make_tuple(result));
    return result;
}

namespace {

PyObject* record_call(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    return guarded([&] {
        if (count < 2 || count > 3 || !is_instance(args[0], tape->operation) || !PyTuple_Check(args[1]))
            throw py::type_error("record(operation, inputs, result=None, /, **attributes): an Operation and a tuple");
        PyObject* waiting = count == 3 && args[2] != Py_None ? args[2] : nullptr;
        if (waiting && !is_instance(waiting, tape->tensor)) throw py::type_error("record: result must be a Tensor");
        return record(args[0], args[1], waiting, keywords(args, count, names));
    });
}

PyMethodDef kRecord = {"record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record_call)),
                       METH_FASTCALL | METH_KEYWORDS, kDoc};

PyObject* wrote_call(PyObject*, PyObject* const* args, Py_ssize_t count) {
    return guarded([&] {
        const int64_t now = tick();
        for (Py_ssize_t i = 0; i < count; ++i) {
            if (!is_instance(args[i], tape->tensor)) throw py::type_error("wrote: expected Tensors");
            wrote(args[i], now);
        }
        return py::none();
    });
}

PyMethodDef kWrote = {"wrote", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(wrote_call)), METH_FASTCALL,
                      "wrote(*tensors)\n--\n\n"
                      "Notes that these Tensors were written in place, so that `backward` can refuse what it saved "
                      "before.\n"};

// The attributes of a Tensor that every operation asks for.

PyObject* get_array(PyObject* t, void*) {
    return guarded([&] { return settled(t); });
}

// Of a Tensor that is not yet computed: what is known of the result.
PyObject* get_shape(PyObject* t, void*) {
    return guarded([&] {
        PyObject* array = tape->of_tensor.array.get(t);
        if (array != Py_None) return owned(PyObject_GetAttr(array, tape->shape.ptr()));
        return borrowed(tape->of_pending.shape.get(tape->of_tensor.pending.get(t)));
    });
}

PyObject* get_dtype(PyObject* t, void*) {
    return guarded([&] {
        PyObject* array = tape->of_tensor.array.get(t);
        if (array != Py_None) return owned(PyObject_GetAttr(array, tape->dtype.ptr()));
        return borrowed(tape->of_pending.dtype.get(tape->of_tensor.pending.get(t)));
    });
}

PyObject* get_grad(PyObject* t, void*) {
    return guarded([&] { return borrowed(tape->of_tensor.grad.get(t)); });
}

int set_grad(PyObject* t, PyObject* value, void*) {
    const auto set = [&] {
        const auto differs = [&](PyObject* (*get)(PyObject*, void*)) {
            return !owned(get(value, nullptr)).equal(owned(get(t, nullptr)));
        };
        if (!value) throw py::type_error("grad cannot be deleted; set it to None");
        if (value != Py_None) {
            if (!is_instance(value, tape->tensor))
                throw py::type_error(std::string("grad must be a Tensor or None, got ") + Py_TYPE(value)->tp_name);
            if (differs(get_shape) || differs(get_dtype)) {
                const auto text = [](PyObject* of) {
                    const auto tensor = borrowed(of);
                    return "shape " + py::str(tensor.attr("shape")).cast<std::string>() + " and dtype " +
                           py::str(tensor.attr("dtype")).cast<std::string>();
                };
                throw py::value_error("grad of " + text(value) + " for a tensor of " + text(t) + "; make them equal");
            }
        }
        tape->of_tensor.grad.set(t, borrowed(value));
        return py::none();
    };
    const auto done = py::reinterpret_steal<py::object>(guarded(set));
    return done ? 0 : -1;
}

PyGetSetDef kTensorAttributes[] = {
    {"array", get_array, nullptr,
     "The ndarray itself, computed now if that was put off. Writes into it are not seen by the tape.", nullptr},
    {"shape", get_shape, nullptr, "Sizes of the axes.", nullptr},
    {"dtype", get_dtype, nullptr, "The ndarray's dtype.", nullptr},
    {"grad", get_grad, set_grad, "The accumulated gradient, a Tensor; None before the first `backward`.", nullptr},
};

void add_attributes(const py::object& type) {
    for (PyGetSetDef& attribute : kTensorAttributes)
        type.attr(attribute.name) = owned(PyDescr_NewGetSet(reinterpret_cast<PyTypeObject*>(type.ptr()), &attribute));
}

// `record`, `owe`, `put_off` and `wrote` over these classes and objects of pynet.autograd.
py::tuple make_tape(const py::dict& of) {
    const auto slots = [&](const char* type) { return [&of, type](const char* name) { return Slot(of[type], name); }; };
    const auto t = slots("Tensor"), n = slots("Node"), o = slots("Operation"), s = slots("Storage"),
               p = slots("Pending");
    tape = new Tape{of["Tensor"],
                    of["Node"],
                    of["Storage"],
                    of["Operation"],
                    of["Pending"],
                    of["grad_mode"],
                    of["fusion_mode"],
                    of["listeners"],
                    of["clock"],
                    of["registry"],
                    of["record_outputs"],
                    of["announce"],
                    py::none(),
                    py::int_(0),
                    py::str("shape"),
                    py::str("dtype"),
                    0,
                    {t("_array"), t("_pending"), t("_node"), t("_output_index"), t("_requires_grad"), t("_grad"),
                     t("_hooks"), t("_storage")},
                    {n("serial"), n("operation"), n("attributes"), n("edges"), n("saved"), n("storages"), n("shape"),
                     n("dtype"), n("hooks"), n("retained")},
                    {o("forward"), o("backward"), o("view"), o("name"), o("takes_two"), o("absorb")},
                    {s("written"), s("low"), s("high"), s("held")},
                    {p("operation"), p("inputs"), p("attributes"), p("shape"), p("dtype"), p("recording"), p("owner"),
                     p("result"), p("followed_by"), p("source"), p("apart")}};
    tape->owed = new_storage(false);
    add_attributes(tape->tensor);
    return py::make_tuple(owned(PyCFunction_New(&kRecord, nullptr)), make_owe(), make_put_off(),
                          owned(PyCFunction_New(&kWrote, nullptr)));
}

}  // namespace

void bind_tape(Module& m) { m.def("_make_tape", &make_tape); }

}  // namespace pynet
