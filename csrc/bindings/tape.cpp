// `record`, the one way of every operation to the tape. What it does are a few dozen reads and writes of attributes;
// done in Python they would take several times as long as a small operation itself. The classes stay Python's
// (pynet/autograd): their __slots__ are read and written here where the instances keep them.
#include <Python.h>
// After it: what Python 3.12 and later declare there themselves.
#include <structmember.h>

#include "families.h"

namespace pynet {
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

// One of the __slots__ of a class.
class Slot {
public:
    Slot(const py::object& type, const char* name) : name_(name) {
        const py::object descriptor = type.attr("__dict__")[name];
        if (Py_TYPE(descriptor.ptr()) != &PyMemberDescr_Type)
            throw py::type_error(std::string(name) + " is no slot of " + py::str(type).cast<std::string>());
        offset_ = reinterpret_cast<PyMemberDescrObject*>(descriptor.ptr())->d_member->offset;
    }

    // Borrowed; an error where it was never set.
    PyObject* get(PyObject* object) const {
        PyObject* value = *at(object);
        if (value) return value;
        PyErr_SetString(PyExc_AttributeError, name_);
        throw py::error_already_set();
    }
    void set(PyObject* object, py::object value) const {
        PyObject* before = *at(object);
        *at(object) = value.release().ptr();
        Py_XDECREF(before);
    }

private:
    PyObject** at(PyObject* object) const {
        return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset_);
    }
    const char* name_;
    Py_ssize_t offset_;
};

py::object borrowed(PyObject* o) { return py::reinterpret_borrow<py::object>(o); }
py::object owned(PyObject* o) {  // a new reference, or the error that kept it from being made
    if (!o) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(o);
}

struct Tape {
    py::object tensor, node, storage, operation;  // classes
    py::object grad_mode, listeners, clock;
    py::object record_outputs, announce;
    py::str followed = "followed", settle = "_settle", shape = "shape", dtype = "dtype";
    py::object zero = py::int_(0);
    struct {
        Slot array, pending, node, output_index, requires_grad, grad, hooks, storage;
    } of_tensor;
    struct {
        Slot serial, operation, attributes, edges, saved, storages, shape, dtype, hooks, retained;
    } of_node;
    struct {
        Slot forward, backward, view, name;
    } of_operation;
};

Tape* tape = nullptr;  // lives as long as the interpreter

py::object instance(const py::object& type) {
    return owned(PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(type.ptr()), 0));
}

py::object new_tensor() {
    const auto& slots = tape->of_tensor;
    py::object result = instance(tape->tensor);
    for (const Slot* slot : {&slots.node, &slots.grad, &slots.hooks}) slot->set(result.ptr(), py::none());
    slots.output_index.set(result.ptr(), tape->zero);
    slots.requires_grad.set(result.ptr(), py::bool_(false));
    return result;
}

bool is_instance(PyObject* object, const py::object& type) {
    return PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(type.ptr()));
}

// Whether a gradient may be asked for.
bool is_recorded(PyObject* operation, PyObject* inputs) {
    PyObject* mode = nullptr;
    if (PyContextVar_Get(tape->grad_mode.ptr(), nullptr, &mode) != 0) throw py::error_already_set();
    if (!mode || owned(mode).ptr() != Py_True || tape->of_operation.backward.get(operation) == Py_None) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); ++i) {
        PyObject* t = PyTuple_GET_ITEM(inputs, i);
        if (t != Py_None && tape->of_tensor.requires_grad.get(t) == Py_True) return true;
    }
    return false;
}

// Where the gradient of a Tensor goes: the leaf itself, or (node, output index).
py::object edge_of(PyObject* t) {
    PyObject* node = tape->of_tensor.node.get(t);
    if (node == Py_None) return borrowed(t);
    return owned(PyTuple_Pack(2, node, tape->of_tensor.output_index.get(t)));
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
            const py::object pending = borrowed(slots.pending.get(t));
            PyObject* arguments[] = {pending.ptr(), t, operation, inputs, attributes.ptr()};
            py::object together = owned(PyObject_VectorcallMethod(tape->followed.ptr(), arguments, 5, nullptr));
            if (!together.is_none()) return together;
            array = owned(PyObject_CallMethodNoArgs(t, tape->settle.ptr()));
        }
        arrays.push_back(std::move(array));
    }
    static_assert(sizeof(py::object) == sizeof(PyObject*), "a vector of objects is an array of pointers");
    const py::object pair = owned(PyObject_VectorcallDict(tape->of_operation.forward.get(operation),
                                                          reinterpret_cast<PyObject* const*>(arrays.data()),
                                                          static_cast<size_t>(count), attributes.ptr()));
    if (!PyTuple_Check(pair.ptr()) || PyTuple_GET_SIZE(pair.ptr()) != 2)
        throw py::type_error("record: a forward returns (out, saved)");
    const py::object out = borrowed(PyTuple_GET_ITEM(pair.ptr(), 0)), saved = borrowed(PyTuple_GET_ITEM(pair.ptr(), 1));
    if (PyTuple_CheckExact(out.ptr()))
        return tape->record_outputs(borrowed(operation), borrowed(inputs), attributes, out, saved);

    py::object result = waiting ? borrowed(waiting) : new_tensor();
    const bool view = tape->of_operation.view.get(operation) == Py_True;
    const py::object storage = view ? borrowed(slots.storage.get(PyTuple_GET_ITEM(inputs, 0)))
                                    : owned(PyObject_CallNoArgs(tape->storage.ptr()));
    slots.array.set(result.ptr(), out);
    slots.pending.set(result.ptr(), py::none());
    slots.storage.set(result.ptr(), storage);
    if (is_recorded(operation, inputs)) {
        slots.node.set(result.ptr(), new_node(operation, inputs, attributes, out, saved, storage));
        slots.requires_grad.set(result.ptr(), py::bool_(true));
    }
    if (PyList_GET_SIZE(tape->listeners.ptr()) > 0)
        tape->announce(borrowed(tape->of_operation.name.get(operation)), attributes, borrowed(inputs),
                       py::make_tuple(result));
    return result;
}

PyObject* record_call(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
    try {
        if (count < 2 || count > 3 || !is_instance(args[0], tape->operation) || !PyTuple_Check(args[1]))
            throw py::type_error("record(operation, inputs, result=None, /, **attributes): an Operation and a tuple");
        PyObject* waiting = count == 3 && args[2] != Py_None ? args[2] : nullptr;
        if (waiting && !is_instance(waiting, tape->tensor)) throw py::type_error("record: result must be a Tensor");
        py::dict attributes;
        for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i)
            if (PyDict_SetItem(attributes.ptr(), PyTuple_GET_ITEM(names, i), args[count + i]) != 0)
                throw py::error_already_set();
        return record(args[0], args[1], waiting, attributes).release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    return nullptr;
}

PyMethodDef kRecord = {"record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record_call)),
                       METH_FASTCALL | METH_KEYWORDS, kDoc};

// `record` over these classes and objects of pynet.autograd.
py::object make_record(const py::object& tensor, const py::object& node, const py::object& storage,
                       const py::object& operation, const py::object& grad_mode, const py::list& listeners,
                       const py::object& clock, const py::object& record_outputs, const py::object& announce) {
    const auto t = [&](const char* name) { return Slot(tensor, name); };
    const auto n = [&](const char* name) { return Slot(node, name); };
    const auto o = [&](const char* name) { return Slot(operation, name); };
    tape = new Tape{tensor,
                    node,
                    storage,
                    operation,
                    grad_mode,
                    listeners,
                    clock,
                    record_outputs,
                    announce,
                    "followed",
                    "_settle",
                    "shape",
                    "dtype",
                    py::int_(0),
                    {t("_array"), t("_pending"), t("_node"), t("_output_index"), t("_requires_grad"), t("_grad"),
                     t("_hooks"), t("_storage")},
                    {n("serial"), n("operation"), n("attributes"), n("edges"), n("saved"), n("storages"), n("shape"),
                     n("dtype"), n("hooks"), n("retained")},
                    {o("forward"), o("backward"), o("view"), o("name")}};
    return owned(PyCFunction_New(&kRecord, nullptr));
}

}  // namespace

void bind_tape(Module& m) { m.def("_make_record", &make_record); }

}  // namespace pynet
