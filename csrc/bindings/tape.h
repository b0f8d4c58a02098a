// What the bindings know of the tape: the classes of pynet.autograd, and where their instances keep their attributes.
// The classes stay Python's; their __slots__ are read and written here directly.
#pragma once
#include <Python.h>
// After it: what Python 3.12 and later declare there themselves.
#include <structmember.h>

#include "families.h"

namespace pynet {

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
    int64_t number(PyObject* object) const {
        const int64_t value = PyLong_AsLongLong(get(object));
        if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
        return value;
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

inline py::object borrowed(PyObject* o) { return py::reinterpret_borrow<py::object>(o); }
inline py::object owned(PyObject* o) {  // a new reference, or the error that kept it from being made
    if (!o) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(o);
}

struct Tape {
    py::object tensor, node, storage, operation, pending;  // classes
    py::object grad_mode, fusion_mode, listeners, clock, registry;
    py::object record_outputs, announce;
    py::object owed;  // the storage of all Tensors that are not yet computed
    py::object zero;
    py::object shape, dtype;  // these words
    int64_t last_write = 0;   // by the clock; nodes younger than this need no look at their storages
    struct {
        Slot array, pending, node, output_index, requires_grad, grad, hooks, storage;
    } of_tensor;
    struct {
        Slot serial, operation, attributes, edges, saved, storages, shape, dtype, hooks, retained;
    } of_node;
    struct {
        Slot forward, backward, view, name, takes_two, absorb;
    } of_operation;
    struct {
        Slot written, low, high, held;
    } of_storage;
    struct {
        Slot operation, inputs, attributes, shape, dtype, recording, owner, result, followed_by, source, apart;
    } of_pending;
};

extern Tape* tape;  // lives as long as the interpreter

inline py::object instance(const py::object& type) {
    return owned(PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(type.ptr()), 0));
}

inline bool is_instance(PyObject* object, const py::object& type) {
    return PyObject_TypeCheck(object, reinterpret_cast<PyTypeObject*>(type.ptr()));
}

inline bool is_listened_to() { return PyList_GET_SIZE(tape->listeners.ptr()) > 0; }

// The value of a context variable.
inline py::object mode_of(const py::object& variable) {
    PyObject* mode = nullptr;
    if (PyContextVar_Get(variable.ptr(), nullptr, &mode) != 0) throw py::error_already_set();
    return mode ? owned(mode) : py::none();
}

inline int64_t tick() {
    const py::object now = owned(PyIter_Next(tape->clock.ptr()));
    return PyLong_AsLongLong(now.ptr());
}

// A Tensor without array, pending work and storage, that requires no gradient.
py::object new_tensor();

// The storage of memory that nobody has written yet and that the user may (`held`) or may not write through NumPy.
py::object new_storage(bool held);

// Where the gradient of a Tensor goes: the leaf itself, or (node, output index).
py::object edge_of(PyObject* t);

// Notes that a Tensor was written in place at a time of the clock.
void wrote(PyObject* t, int64_t now);

// Runs an operation and puts it on the tape: see tape.cpp. `waiting`: the Tensor that gets the result, or null.
py::object record(PyObject* operation, PyObject* inputs, PyObject* waiting, const py::dict& attributes);

// Pending work, see pending.cpp. The pending result of an operation on `owner`, which owes `work`, and on other inputs;
// None where it cannot wait.
py::object followed(PyObject* work, PyObject* owner, PyObject* operation, PyObject* inputs, const py::dict& attributes);

// The array of a Tensor, computed now if that was put off.
py::object settled(PyObject* t);

// NumPy's scalars as arrays; operations of the user's own, and float64's, may return them.
inline py::array as_array(const py::object& value) {
    if (py::array::check_(value.ptr())) return py::reinterpret_borrow<py::array>(value);
    return py::module_::import("numpy").attr("asarray")(value);
}

// The rest of a call's keywords.
py::dict keywords(PyObject* const* args, Py_ssize_t count, PyObject* names);

// The result of `call`, or null with the error set that it threw.
template <class Call>
PyObject* guarded(Call call) {
    try {
        return call().release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const py::builtin_exception& error) {
        error.set_error();
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    return nullptr;
}

// Functions of Python: put_off and owe.
py::object make_put_off();
py::object make_owe();

}  // namespace pynet
