// The walk back: gradients on their way through the tape, from a result to the leaves, youngest node first. In C++ for
// the same reason as `record`: between two kernels of a large network the caches are cold, and an interpreter touches
// many more lines than this does. What is rare stays in pynet/autograd/walk.py: hooks, retained gradients, `grad`.
#include <cstring>
#include <functional>
#include <map>
#include <unordered_map>

#include "arrays.h"
#include "tape.h"

namespace pynet {
namespace {

// Functions of pynet.autograd and pynet.ops; set once, when these are imported.
struct Helpers {
    py::object add, accumulate;  // sums of gradients: a new array, and in place
    py::object array_of;         // a caller's gradient as a checked ndarray
    py::object observe;          // (walk, node, gradients): hooks, retained gradients and targets of a node's outputs
    py::object run_hooks;        // (walk, hooks, gradient): the gradient as the hooks leave it
    py::object fill;             // (node, gradients): zeros where none arrived
};

Helpers* helpers = nullptr;  // lives as long as the interpreter

bool is_array(PyObject* object) { return py::array::check_(object); }

// The innermost ndarray whose memory a view shows.
PyObject* root_of(PyObject* array) {
    for (PyObject* base; (base = py::detail::array_proxy(array)->base) && is_array(base);) array = base;
    return array;
}

bool is_writeable(PyObject* array) {
    return py::detail::array_proxy(array)->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

std::string text_of(const py::handle& object) { return py::str(object).cast<std::string>(); }

std::string name_of(PyObject* node) { return text_of(tape->of_operation.name.get(tape->of_node.operation.get(node))); }

[[noreturn]] void fail(const std::string& why) { throw std::runtime_error(why); }

// 1 in the shape and dtype of an array of one element. NumPy makes it where that is no plain float32, as losses are.
py::array one_like(const py::array& array) {
    if (!array.dtype().is(py::dtype::of<float>()))
        return py::module_::import("numpy").attr("ones")(shape_of(array), array.dtype());
    py::array one = new_array(shape_of(array));
    *mutable_floats(one) = 1;
    return one;
}

// What has arrived at a leaf or at an output of a node: a gradient, or two that the operation takes without their sum.
class Arrived {
public:
    void add(const py::object& gradient, bool takes_two) {
        if (!first_)
            first_ = gradient;
        else if (takes_two && !second_)
            second_ = gradient;
        else
            sum(takes_two ? std::exchange(second_, gradient) : gradient);
    }

    // As one gradient; null where none arrived.
    const py::object& total() {
        if (second_) sum(std::exchange(second_, {}));
        return first_;
    }
    void replace(const py::object& gradient) { first_ = gradient; }

    // For the operation's backward: the gradient, or a list of the two; nothing is left here.
    py::object taken() {
        if (!second_) return std::exchange(first_, {});
        py::list both(2);
        PyList_SET_ITEM(both.ptr(), 0, std::exchange(first_, {}).release().ptr());
        PyList_SET_ITEM(both.ptr(), 1, std::exchange(second_, {}).release().ptr());
        return std::move(both);
    }

private:
    // What was summed here belongs to the walk and may be added into; everything else may be shared with others.
    void sum(const py::object& gradient) {
        if (summed_)
            helpers->accumulate(first_, gradient);
        else
            first_ = as_array(helpers->add(first_, gradient));
        summed_ = true;
    }

    py::object first_, second_;
    bool summed_ = false;
};

// One backward pass.
class Walk {
public:
    // Of `grad`: targets, a dict of leaves and (node, output index) to their position, and the set of nodes that lead
    // to one; None for `backward`, which gives all leaves their gradients.
    Walk(bool retain_graph, py::object targets, py::object useful)
        : retain_graph_(retain_graph), targets_(std::move(targets)), useful_(std::move(useful)) {}

    py::object targets() const { return targets_; }
    py::dict found() const { return found_; }

    // Puts the gradient of a result in place, one where it is None.
    void start(const std::string& name, const py::object& t, const py::object& gradient) {
        if (!is_instance(t.ptr(), tape->tensor))
            throw py::type_error(name + ": expected a Tensor, got " + Py_TYPE(t.ptr())->tp_name);
        const py::array array = as_array(settled(t.ptr()));
        if (tape->of_tensor.requires_grad.get(t.ptr()) != Py_True)
            fail(name + ": the tensor of shape " + shape_text(shape_of(array)) +
                 " needs no gradient, so nothing leads back from it; set requires_grad=True on an input, and check "
                 "that it was not computed under no_grad()");
        py::array begin;
        if (gradient.is_none()) {
            if (array.size() != 1)
                fail(name + ": a tensor of shape " + shape_text(shape_of(array)) +
                     " is not a scalar; pass a gradient of that shape, or reduce it with sum() or mean() first");
            begin = one_like(array);
        } else {
            begin = as_array(helpers->array_of(gradient));
            if (shape_of(begin) != shape_of(array))
                fail(name + ": the gradient has shape " + shape_text(shape_of(begin)) + ", the tensor " +
                     shape_text(shape_of(array)) + "; make them equal");
            if (!begin.dtype().equal(array.dtype()))
                throw py::type_error(name + ": the gradient is " + text_of(begin.dtype()) + ", the tensor " +
                                     text_of(array.dtype()) + "; convert the gradient");
            hold(begin);
        }
        deliver(edge_of(t.ptr()).ptr(), begin);
    }

    // Visits the nodes, youngest first, and hands the leaves their sums.
    void run() {
        const profile::WalkingBack now;
        try {
            visit_all();
            finish();
        } catch (...) {  // Python's collector does not see what a walk holds, and the error may hold the walk
            nodes_.clear();
            leaves_.clear();
            leaf_places_.clear();
            held_.clear();
            throw;
        }
    }

    // Marks a buffer as somebody's, so that no leaf gets it as its gradient.
    void hold(const py::object& array) {
        PyObject* root = root_of(as_array(array).ptr());
        held_.try_emplace(root, borrowed(root));
    }

    // Stores or adds a gradient: with the owner's strides, in memory that is nobody else's.
    void give(const py::object& owner, const py::object& gradient) {
        const auto& slots = tape->of_tensor;
        const py::object before = borrowed(slots.grad.get(owner.ptr()));
        if (before.is_none()) {
            const py::object given = new_tensor();
            slots.array.set(given.ptr(), own(gradient, as_array(borrowed(slots.array.get(owner.ptr())))));
            slots.pending.set(given.ptr(), py::none());
            slots.storage.set(given.ptr(), new_storage(true));  // the next backward() writes it
            slots.grad.set(owner.ptr(), given);
            return;
        }
        const py::object target = as_array(settled(before.ptr()));
        if (!is_writeable(target.ptr()))
            fail("backward: .grad is read-only, so nothing can be added to it; set it to None or a clone()");
        helpers->accumulate(target, gradient);
        wrote(before.ptr(), tick());
    }

    // The gradient itself where nobody else has it and it is laid out as `like`, else such a copy.
    py::object own(const py::object& given, const py::object& like) {
        const py::array gradient = as_array(given);
        const auto* a = py::detail::array_proxy(gradient.ptr());
        const auto* b = py::detail::array_proxy(like.ptr());
        const bool alike = std::memcmp(a->strides, b->strides, static_cast<size_t>(a->nd) * sizeof(*a->strides)) == 0;
        if (!alike || held_.count(root_of(gradient.ptr())) || !is_writeable(gradient.ptr())) {
            const py::module_ numpy = py::module_::import("numpy");
            const py::object copy = numpy.attr("empty_like")(like);
            numpy.attr("copyto")(copy, gradient);
            return copy;
        }
        hold(gradient);
        return gradient;
    }

private:
    struct AtNode {
        py::object node;
        std::vector<Arrived> outputs;
    };
    struct AtLeaf {
        py::object leaf;
        Arrived arrived;
    };

    void visit_all() {
        while (!nodes_.empty()) {
            const auto youngest = nodes_.begin();
            AtNode at = std::move(youngest->second);
            nodes_.erase(youngest);
            visit(at);
        }
    }

    void finish() {
        for (AtLeaf& at : leaves_) {
            PyObject* leaf = at.leaf.ptr();
            py::object gradient = at.arrived.total();
            if (PyObject* hooks = tape->of_tensor.hooks.get(leaf); hooks != Py_None)
                gradient = helpers->run_hooks(self(), borrowed(hooks), gradient);
            if (targets_.is_none())
                give(at.leaf, gradient);
            else if (contains(targets_, leaf))
                found_[targets_[at.leaf]] = gradient;
        }
    }

    static bool contains(const py::object& container, PyObject* key) {
        const int found = PySequence_Contains(container.ptr(), key);
        if (found < 0) throw py::error_already_set();
        return found == 1;
    }

    py::object self() { return py::cast(this, py::return_value_policy::reference); }

    void deliver(PyObject* edge, const py::object& gradient) {
        if (!PyTuple_CheckExact(edge)) {
            const auto [place, is_new] = leaf_places_.try_emplace(edge, leaves_.size());
            if (is_new) leaves_.push_back({borrowed(edge), {}});
            leaves_[place->second].arrived.add(gradient, false);
            return;
        }
        PyObject* node = PyTuple_GET_ITEM(edge, 0);
        AtNode& at = nodes_[tape->of_node.serial.number(node)];
        if (!at.node) {
            at.node = borrowed(node);
            PyObject* shape = tape->of_node.shape.get(node);
            at.outputs.resize(PyList_CheckExact(shape) ? static_cast<size_t>(PyList_GET_SIZE(shape)) : 1);
        }
        const bool takes_two = tape->of_operation.takes_two.get(tape->of_node.operation.get(node)) == Py_True;
        at.outputs.at(PyLong_AsSize_t(PyTuple_GET_ITEM(edge, 1))).add(gradient, takes_two);
    }

    // Runs one node's backward and sends its gradients on.
    void visit(AtNode& at) {
        const auto& slots = tape->of_node;
        PyObject* node = at.node.ptr();
        py::object edges = borrowed(slots.edges.get(node));
        if (edges.is_none())
            fail("backward: the graph of " + name_of(node) +
                 " was freed by an earlier backward(); pass retain_graph=True to the first one to walk it twice");
        if (slots.hooks.get(node) != Py_None || slots.retained.get(node) != Py_None || !targets_.is_none()) observe(at);
        if (!useful_.is_none()) {
            edges = useful_of(edges);
            if (edges.is_none()) return;
        }
        if (tape->last_write > slots.serial.number(node)) check_unwritten(node);
        const Py_ssize_t count = PyList_GET_SIZE(edges.ptr());
        const py::object needs = owned(PyTuple_New(count)), saved = borrowed(slots.saved.get(node)),
                         gradients = run_backward(at, saved, edges, needs);
        if (PySequence_Fast_GET_SIZE(gradients.ptr()) != count)
            fail("backward of " + name_of(node) + " returned " +
                 std::to_string(PySequence_Fast_GET_SIZE(gradients.ptr())) + " gradients for " + std::to_string(count) +
                 " inputs");
        if (!retain_graph_) {
            slots.edges.set(node, py::none());
            slots.saved.set(node, py::tuple());
        }
        for (Py_ssize_t i = 0; i < count; ++i) {
            PyObject* edge = PyList_GET_ITEM(edges.ptr(), i);
            const py::object given = borrowed(PySequence_Fast_GET_ITEM(gradients.ptr(), i));
            if (edge == Py_None || given.is_none()) continue;
            const py::object gradient = as_array(given);
            require_fit(node, i, gradient, edge);
            if (!PyTuple_CheckExact(edge)) hold_if_saved(gradient, saved);
            deliver(edge, gradient);
        }
    }

    // What the operation's backward returns, as a list or tuple.
    py::object run_backward(AtNode& at, const py::object& saved, const py::object& edges, const py::object& needs) {
        const auto& slots = tape->of_node;
        PyObject* node = at.node.ptr();
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(edges.ptr()); ++i)
            PyTuple_SET_ITEM(needs.ptr(), i, PyBool_FromLong(PyList_GET_ITEM(edges.ptr(), i) != Py_None));
        py::object dout;
        if (PyList_CheckExact(slots.shape.get(node))) {
            py::list arrived;
            for (Arrived& output : at.outputs) {
                const py::object gradient = output.taken();
                arrived.append(gradient ? gradient : py::none());
            }
            dout = helpers->fill(at.node, arrived);
        } else {
            dout = at.outputs[0].taken();
        }
        PyObject* arguments[] = {dout.ptr(), saved.ptr(), needs.ptr()};
        const py::object gradients = owned(PyObject_VectorcallDict(
            tape->of_operation.backward.get(slots.operation.get(node)), arguments, 3, slots.attributes.get(node)));
        return owned(PySequence_Fast(gradients.ptr(), "a backward returns a tuple of gradients, one for each input"));
    }

    // Hooks, retained gradients and targets of a node's outputs.
    void observe(AtNode& at) {
        py::list gradients;
        for (Arrived& output : at.outputs) {
            const py::object& gradient = output.total();
            gradients.append(gradient ? gradient : py::none());
        }
        helpers->observe(self(), at.node, gradients);
        for (size_t i = 0; i < at.outputs.size(); ++i)
            if (const py::object gradient = gradients[i]; !gradient.is_none()) at.outputs[i].replace(gradient);
    }

    // The edges that a target lies behind, None for the others; None where there is none.
    py::object useful_of(const py::object& edges) {
        py::list kept;
        bool any = false;
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(edges.ptr()); ++i) {
            PyObject* edge = PyList_GET_ITEM(edges.ptr(), i);
            const bool is_useful =
                edge != Py_None && (contains(targets_, edge) ||
                                    (PyTuple_CheckExact(edge) && contains(useful_, PyTuple_GET_ITEM(edge, 0))));
            kept.append(is_useful ? borrowed(edge) : py::none());
            any = any || is_useful;
        }
        if (any) return std::move(kept);
        return py::none();
    }

    // Refuses a node whose saved arrays were written after it was recorded.
    static void check_unwritten(PyObject* node) {
        const auto& slots = tape->of_storage;
        const int64_t serial = tape->of_node.serial.number(node);
        const py::list storages = borrowed(tape->of_node.storages.get(node));
        for (const py::handle storage : storages) {
            if (slots.written.number(storage.ptr()) <= serial) continue;
            const auto from = static_cast<uintptr_t>(slots.low.number(storage.ptr())),
                       to = static_cast<uintptr_t>(slots.high.number(storage.ptr()));
            for (const py::handle saved : borrowed(tape->of_node.saved.get(node))) {
                if (!is_array(saved.ptr())) continue;
                const auto array = py::reinterpret_borrow<py::array>(saved);
                const auto [low, high] = byte_bounds(array);
                if (low < to && from < high)
                    fail("backward: an array of shape " + shape_text(shape_of(array)) + " that " + name_of(node) +
                         " saved was changed in place afterwards; change a clone() instead, or change it after "
                         "backward()");
            }
        }
    }

    // Refuses a gradient of another shape or dtype than what it is the gradient of.
    static void require_fit(PyObject* node, Py_ssize_t position, const py::object& gradient, PyObject* edge) {
        py::object shape, dtype;
        const auto* array = py::detail::array_proxy(gradient.ptr());
        bool fits;
        if (PyTuple_CheckExact(edge)) {
            PyObject* target = PyTuple_GET_ITEM(edge, 0);
            shape = borrowed(tape->of_node.shape.get(target)), dtype = borrowed(tape->of_node.dtype.get(target));
            if (PyList_CheckExact(shape.ptr())) {
                const py::object index = borrowed(PyTuple_GET_ITEM(edge, 1));
                shape = shape[index], dtype = dtype[index];
            }
            fits = PyTuple_GET_SIZE(shape.ptr()) == array->nd;
            for (int i = 0; fits && i < array->nd; ++i)
                fits = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i)) == array->dimensions[i];
            fits = fits && (array->descr == dtype.ptr() || borrowed(array->descr).equal(dtype));
        } else {
            const py::array leaf = as_array(borrowed(tape->of_tensor.array.get(edge)));
            const auto* like = py::detail::array_proxy(leaf.ptr());
            fits = array->nd == like->nd &&
                   std::equal(array->dimensions, array->dimensions + array->nd, like->dimensions) &&
                   (array->descr == like->descr || borrowed(array->descr).equal(borrowed(like->descr)));
            if (!fits) shape = leaf.attr("shape"), dtype = leaf.attr("dtype");
        }
        if (!fits)
            fail("backward of " + name_of(node) + " returned a gradient of shape " + text_of(gradient.attr("shape")) +
                 " and dtype " + text_of(gradient.attr("dtype")) + " for input " + std::to_string(position) +
                 ", which has shape " + text_of(shape) + " and dtype " + text_of(dtype));
    }

    // A custom backward may return what it saved: that must not become a leaf's gradient.
    void hold_if_saved(const py::object& gradient, const py::object& saved) {
        PyObject* root = root_of(gradient.ptr());
        for (const py::handle array : saved)
            if (is_array(array.ptr()) && root_of(array.ptr()) == root) held_.try_emplace(root, borrowed(root));
    }

    const bool retain_graph_;
    const py::object targets_, useful_;
    py::dict found_;                                          // position of a target -> its gradient
    std::map<int64_t, AtNode, std::greater<int64_t>> nodes_;  // by serial number
    std::vector<AtLeaf> leaves_;                              // in the order of their first gradients
    std::unordered_map<PyObject*, size_t> leaf_places_;
    std::unordered_map<PyObject*, py::object> held_;  // the caller's gradients, what hooks saw, what leaves have got
};

void set_helpers(const py::object& array_of, const py::object& observe, const py::object& run_hooks,
                 const py::object& fill) {
    helpers = new Helpers{{}, {}, array_of, observe, run_hooks, fill};
}

void use_kernels(const py::object& add, const py::object& accumulate) {
    helpers->add = add;
    helpers->accumulate = accumulate;
}

}  // namespace

void bind_walk(Module& module) {
    py::module_& m = module;  // nothing of this is a kernel
    py::class_<Walk>(m, "_Walk")
        .def(py::init<bool, py::object, py::object>())
        .def_property_readonly("targets", &Walk::targets)
        .def_property_readonly("found", &Walk::found)
        .def("start", &Walk::start)
        .def("run", &Walk::run)
        .def("hold", &Walk::hold)
        .def("give", &Walk::give)
        .def("own", &Walk::own);
    m.def("_set_walk_helpers", &set_helpers);
    m.def("_use_kernels", &use_kernels);
}

}  // namespace pynet
