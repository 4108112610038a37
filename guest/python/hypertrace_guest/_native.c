/*
 * The core of hypertrace_guest: kinds of events and spans whose calls emit without any Python code.
 *
 * SPDX-License-Identifier: MIT
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <string.h>

#include <qemu-hypertrace.h>

#define MOST 63         /* arguments of an event */
#define SPARE 64        /* spans whose memory is kept for the next ones */

/* Converts arguments and emits; `codes` has a letter for each argument: i, u (64-bit integers), f (float), b (bool). */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    uint64_t begin;
    uint64_t end;
    PyObject *fields;           /* a tuple: the names of the arguments, without the number of the span */
    PyObject *end_fields;       /* a tuple: the names of the arguments of the end */
    char codes[MOST + 1];
    char end_codes[MOST + 1];
    signed char kept[MOST];     /* for each argument of the end, the argument of the begin that it repeats, or -1 */
    Py_ssize_t count;
    Py_ssize_t end_count;
    bool numbered;              /* the first argument of both events is a number of the span */
    bool is_span;
} Kind;

typedef struct {
    PyObject_HEAD
    Kind *kind;
    uint64_t words[MOST];       /* of the begin */
    uint64_t end_words[MOST];
} Span;

static PyTypeObject KindType;
static PyTypeObject SpanType;
static PyTypeObject NothingType;
static PyObject *nothing;
static PyObject *events, *counters, *spans;    /* {name: Kind}; a counter is an event of that phase */
static PyObject *define;        /* called for a name or fields that are new */
static bool is_open;
static Py_ssize_t room;         /* arguments of the channel, without the id */
static uint64_t next_number;
static Span *spare[SPARE];
static int spare_count;

static inline void emit(uint64_t id, const uint64_t *words, Py_ssize_t count)
{
    const uint64_t index = qemu_hypertrace_client();
    uint64_t *data = qemu_hypertrace_data(index);

    data[0] = id;
    count = count < room ? count : room;
    for (Py_ssize_t i = 0; i < count; i++) {
        data[1 + i] = words[i];
    }
    qemu_hypertrace(index);
}

static bool convert(PyObject *value, char code, uint64_t *word)
{
    if (code == 'f') {
        double real = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);

        memcpy(word, &real, sizeof real);
        return real != -1.0 || !PyErr_Occurred();
    }
    if (code == 'b') {
        int truth = value == Py_True ? 1 : value == Py_False ? 0 : PyObject_IsTrue(value);

        *word = (uint64_t)truth;
        return truth >= 0;
    }
    if (PyLong_Check(value)) {
        *word = PyLong_AsUnsignedLongLongMask(value);
    } else {
        PyObject *index = PyNumber_Index(value);

        *word = index != NULL ? PyLong_AsUnsignedLongLongMask(index) : (uint64_t)-1;
        Py_XDECREF(index);
    }
    return *word != (uint64_t)-1 || !PyErr_Occurred();
}

/* Fills in the words of the begin. */
static bool convert_all(const Kind *kind, PyObject *const *values, Py_ssize_t count, uint64_t *words)
{
    Py_ssize_t first = kind->numbered ? 1 : 0;

    if (count < kind->count - first) {
        PyErr_Format(PyExc_TypeError, "the event takes %zd arguments, not %zd", kind->count - first, count);
        return false;
    }
    if (first) {
        words[0] = next_number++;
    }
    for (Py_ssize_t i = first; i < kind->count; i++) {
        if (!convert(values[i - first], kind->codes[i], &words[i])) {
            return false;
        }
    }
    return true;
}

/* Spans. */

static PyObject *new_span(Kind *kind, PyObject *const *values, Py_ssize_t count)
{
    Span *span;

    if (spare_count > 0) {
        span = spare[--spare_count];
        PyObject_Init((PyObject *)span, &SpanType);
    } else {
        span = PyObject_New(Span, &SpanType);
        if (span == NULL) {
            return NULL;
        }
    }
    Py_INCREF(kind);
    span->kind = kind;
    if (!convert_all(kind, values, count, span->words)) {
        Py_DECREF(span);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < kind->end_count; i++) {
        span->end_words[i] = kind->kept[i] >= 0 ? span->words[kind->kept[i]] : 0;
    }
    return (PyObject *)span;
}

static void span_dealloc(Span *span)
{
    Py_CLEAR(span->kind);
    if (spare_count < SPARE) {
        spare[spare_count++] = span;
    } else {
        PyObject_Free(span);
    }
}

static PyObject *span_enter(Span *span, PyObject *unused)
{
    (void)unused;
    emit(span->kind->begin, span->words, span->kind->count);
    Py_INCREF(span);
    return (PyObject *)span;
}

static PyObject *span_exit(Span *span, PyObject *const *values, Py_ssize_t count)
{
    (void)values;
    (void)count;
    emit(span->kind->end, span->end_words, span->kind->end_count);
    Py_RETURN_NONE;
}

/* An attribute is an argument of the end. */
static int span_setattr(Span *span, PyObject *name, PyObject *value)
{
    const Kind *kind = span->kind;

    for (Py_ssize_t i = 0; value != NULL && i < kind->end_count; i++) {
        PyObject *field = PyTuple_GET_ITEM(kind->end_fields, i);

        if (field == name || PyUnicode_Compare(field, name) == 0) {
            return convert(value, kind->end_codes[i], &span->end_words[i]) ? 0 : -1;
        }
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_AttributeError, "the end of the span has no argument %R", name);
    }
    return -1;
}

static PyMethodDef span_methods[] = {
    {"__enter__", (PyCFunction)span_enter, METH_NOARGS, "Begin the span."},
    {"__exit__", (PyCFunction)(void (*)(void))span_exit, METH_FASTCALL, "End the span."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject SpanType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hypertrace_guest._native.Span",
    .tp_doc = "A span, for the statement with.",
    .tp_basicsize = sizeof(Span),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = (destructor)span_dealloc,
    .tp_setattro = (setattrofunc)span_setattr,
    .tp_methods = span_methods,
};

/* The span without a channel. */

static PyObject *nothing_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_INCREF(self);
    return self;
}

static PyObject *nothing_done(PyObject *self, PyObject *const *values, Py_ssize_t count)
{
    (void)self;
    (void)values;
    (void)count;
    Py_RETURN_NONE;
}

static int nothing_setattr(PyObject *self, PyObject *name, PyObject *value)
{
    (void)self;
    (void)name;
    (void)value;
    return 0;
}

static PyMethodDef nothing_methods[] = {
    {"__enter__", (PyCFunction)nothing_enter, METH_NOARGS, "Do nothing."},
    {"__exit__", (PyCFunction)(void (*)(void))nothing_done, METH_FASTCALL, "Do nothing."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject NothingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hypertrace_guest._native.Nothing",
    .tp_doc = "A span without a channel.",
    .tp_basicsize = sizeof(PyObject),
    .tp_setattro = nothing_setattr,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = nothing_methods,
};

/* Kinds. */

static PyObject *call_kind(Kind *kind, PyObject *const *values, Py_ssize_t count)
{
    uint64_t words[MOST];

    if (!is_open) {
        if (kind->is_span) {
            Py_INCREF(nothing);
            return nothing;
        }
        Py_RETURN_NONE;
    }
    if (kind->is_span) {
        return new_span(kind, values, count);
    }
    if (!convert_all(kind, values, count, words)) {
        return NULL;
    }
    emit(kind->begin, words, kind->count);
    Py_RETURN_NONE;
}

static PyObject *kind_vectorcall(PyObject *self, PyObject *const *values, size_t flags, PyObject *names)
{
    if (names != NULL && PyTuple_GET_SIZE(names) != 0) {
        PyErr_SetString(PyExc_TypeError, "the arguments are given by position");
        return NULL;
    }
    return call_kind((Kind *)self, values, PyVectorcall_NARGS(flags));
}

/* Kind(begin, end, codes, end_codes, kept, fields, end_fields, numbered); end is None for an event. */
static PyObject *kind_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"begin", "end", "codes", "end_codes", "kept", "fields", "end_fields", "numbered", NULL};
    PyObject *begin, *end, *kept, *fields, *end_fields;
    const char *codes, *end_codes;
    Py_ssize_t count, end_count;
    int numbered;
    Kind *kind;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOs#s#O!O!O!p", names, &begin, &end, &codes, &count, &end_codes,
                                     &end_count, &PyTuple_Type, &kept, &PyTuple_Type, &fields, &PyTuple_Type, &end_fields,
                                     &numbered)) {
        return NULL;
    }
    if (count > MOST || end_count > MOST || PyTuple_GET_SIZE(kept) != end_count ||
        PyTuple_GET_SIZE(end_fields) != end_count) {
        PyErr_SetString(PyExc_ValueError, "an event has at most 63 arguments");
        return NULL;
    }
    kind = (Kind *)type->tp_alloc(type, 0);
    if (kind == NULL) {
        return NULL;
    }
    kind->vectorcall = kind_vectorcall;
    kind->begin = PyLong_AsUnsignedLongLongMask(begin);
    kind->is_span = end != Py_None;
    kind->end = kind->is_span ? PyLong_AsUnsignedLongLongMask(end) : 0;
    memcpy(kind->codes, codes, (size_t)count);
    memcpy(kind->end_codes, end_codes, (size_t)end_count);
    kind->count = count;
    kind->end_count = end_count;
    kind->numbered = numbered;
    for (Py_ssize_t i = 0; i < end_count; i++) {
        kind->kept[i] = (signed char)PyLong_AsLong(PyTuple_GET_ITEM(kept, i));
    }
    kind->fields = Py_NewRef(fields);
    kind->end_fields = Py_NewRef(end_fields);
    if (PyErr_Occurred()) {
        Py_DECREF(kind);
        return NULL;
    }
    return (PyObject *)kind;
}

static void kind_dealloc(Kind *kind)
{
    Py_CLEAR(kind->fields);
    Py_CLEAR(kind->end_fields);
    Py_TYPE(kind)->tp_free((PyObject *)kind);
}

static PyMemberDef kind_members[] = {
    {"fields", T_OBJECT_EX, offsetof(Kind, fields), READONLY, "The names of the arguments."},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject KindType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hypertrace_guest._native.Kind",
    .tp_doc = "A kind of event or span. Calling it emits an event, or makes a span.",
    .tp_basicsize = sizeof(Kind),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Kind, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = kind_new,
    .tp_members = kind_members,
    .tp_dealloc = (destructor)kind_dealloc,
};

static bool has_fields(const Kind *kind, PyObject *names)
{
    Py_ssize_t count = names != NULL ? PyTuple_GET_SIZE(names) : 0;

    if (kind->fields == names) {
        return true;
    }
    if (PyTuple_GET_SIZE(kind->fields) != count) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        /* The names of keywords are interned. */
        if (PyTuple_GET_ITEM(kind->fields, i) != PyTuple_GET_ITEM(names, i)) {
            return false;
        }
    }
    return true;
}

/* The kind for (role, name) and these fields, which are defined at the first call. A borrowed reference. */
static Kind *find(PyObject *table, PyObject *name, PyObject *names, PyObject *const *values)
{
    PyObject *found = PyDict_GetItemWithError(table, name);
    PyObject *given, *fields;
    Py_ssize_t count = names != NULL ? PyTuple_GET_SIZE(names) : 0;

    if (found != NULL && has_fields((Kind *)found, names)) {
        return (Kind *)found;
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    given = PyTuple_New(count);
    fields = names != NULL ? Py_NewRef(names) : PyTuple_New(0);
    if (given == NULL || fields == NULL) {
        Py_XDECREF(given);
        Py_XDECREF(fields);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyTuple_SET_ITEM(given, i, Py_NewRef(values[i]));
    }
    found = PyObject_CallFunctionObjArgs(define, table, name, fields, given, NULL);
    Py_DECREF(given);
    Py_DECREF(fields);
    if (found == NULL) {
        return NULL;
    }
    /* The table, or a table of other fields, holds a reference. */
    Py_DECREF(found);
    return (Kind *)found;
}

static PyObject *by_name(PyObject *table, PyObject *const *values, Py_ssize_t count, PyObject *names)
{
    Kind *kind;

    if (!is_open) {
        if (table == spans) {
            Py_INCREF(nothing);
            return nothing;
        }
        Py_RETURN_NONE;
    }
    if (count != 1 || !PyUnicode_Check(values[0])) {
        PyErr_SetString(PyExc_TypeError, "give a name, and arguments by keyword");
        return NULL;
    }
    kind = find(table, values[0], names, values + 1);
    return kind != NULL ? call_kind(kind, values + 1, names != NULL ? PyTuple_GET_SIZE(names) : 0) : NULL;
}

static PyObject *native_span(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names)
{
    (void)self;
    return by_name(spans, values, count, names);
}

static PyObject *native_event(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names)
{
    (void)self;
    return by_name(events, values, count, names);
}

static PyObject *native_counter(PyObject *self, PyObject *const *values, Py_ssize_t count, PyObject *names)
{
    (void)self;
    return by_name(counters, values, count, names);
}

/* start(path, define, first): open the channel. Raises OSError. */
static PyObject *native_start(PyObject *self, PyObject *args)
{
    const char *path;
    PyObject *callable;
    unsigned long long first;

    (void)self;
    if (!PyArg_ParseTuple(args, "zOK", &path, &callable, &first)) {
        return NULL;
    }
    if (qemu_hypertrace_init(path) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_INCREF(callable);
    Py_XSETREF(define, callable);
    next_number = first;
    room = (Py_ssize_t)qemu_hypertrace_num_args() - 1;
    is_open = true;
    return PyLong_FromUnsignedLongLong(qemu_hypertrace_num_args());
}

/* keep(object): it lives until the process exits, also after the interpreter has ended. */
static PyObject *native_keep(PyObject *self, PyObject *object)
{
    (void)self;
    Py_INCREF(object);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"span", (PyCFunction)(void (*)(void))native_span, METH_FASTCALL | METH_KEYWORDS,
     "span(name, /, **arguments)\n--\n\nA span for the statement with. The arguments are numbers."},
    {"event", (PyCFunction)(void (*)(void))native_event, METH_FASTCALL | METH_KEYWORDS,
     "event(name, /, **arguments)\n--\n\nEmit an event. The arguments are numbers."},
    {"counter", (PyCFunction)(void (*)(void))native_counter, METH_FASTCALL | METH_KEYWORDS,
     "counter(name, /, **values)\n--\n\nEmit the values of a counter."},
    {"keep", native_keep, METH_O, "Never free an object."},
    {"start", native_start, METH_VARARGS, "Open the channel; returns its number of arguments."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "hypertrace_guest._native",
    .m_doc = "The core of hypertrace_guest, around the guest library in C.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module;

    if (PyType_Ready(&KindType) < 0 || PyType_Ready(&SpanType) < 0 || PyType_Ready(&NothingType) < 0) {
        return NULL;
    }
    nothing = (PyObject *)PyObject_New(PyObject, &NothingType);
    events = PyDict_New();
    counters = PyDict_New();
    spans = PyDict_New();
    module = PyModule_Create(&definition);
    if (nothing == NULL || events == NULL || counters == NULL || spans == NULL || module == NULL ||
        PyModule_AddObjectRef(module, "Kind", (PyObject *)&KindType) < 0 ||
        PyModule_AddObjectRef(module, "events", events) < 0 || PyModule_AddObjectRef(module, "counters", counters) < 0 ||
        PyModule_AddObjectRef(module, "spans", spans) < 0) {
        return NULL;
    }
    return module;
}
