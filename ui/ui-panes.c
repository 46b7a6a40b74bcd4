/* ui-panes.c: see ui-panes.h. */
#define G_LOG_DOMAIN "ui-panes"
#include "ui-panes.h"

#if ADW_CHECK_VERSION(1, 4, 0)
G_GNUC_BEGIN_IGNORE_DEPRECATIONS /* they go on working through all of libadwaita 1; their successors are not in 1.2 */
#endif

struct _UiPanes {
    GtkWidget parent;
    AdwLeaflet *leaflet;
    AdwFlap *flap;
    GtkWidget *sidebar, *end;
};

enum { PROP_0, PROP_NARROW, PROP_END_OVER, PROP_END_SHOWN, PROP_CONTENT_SHOWN, N_PROPS };
static GParamSpec *props[N_PROPS];

static void ui_panes_buildable_init(GtkBuildableIface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE(UiPanes, ui_panes, GTK_TYPE_WIDGET, G_IMPLEMENT_INTERFACE(GTK_TYPE_BUILDABLE, ui_panes_buildable_init))

static GtkBuildableIface *parent_buildable;

static void ui_panes_add_child(GtkBuildable *buildable, GtkBuilder *builder, GObject *child, const char *type)
{
    UiPanes *self = UI_PANES(buildable);
    if (g_strcmp0(type, "sidebar") == 0) {
        self->sidebar = GTK_WIDGET(child);
        gtk_widget_set_hexpand(self->sidebar, FALSE); /* whatever in it would expand */
        adw_leaflet_prepend(self->leaflet, self->sidebar);
        adw_leaflet_set_visible_child(self->leaflet, GTK_WIDGET(self->flap));
    } else if (g_strcmp0(type, "content") == 0) {
        adw_flap_set_content(self->flap, GTK_WIDGET(child));
    } else if (g_strcmp0(type, "end") == 0) {
        self->end = GTK_WIDGET(child);
        gtk_widget_set_hexpand(self->end, FALSE);
        adw_flap_set_flap(self->flap, self->end);
    } else {
        parent_buildable->add_child(buildable, builder, child, type);
    }
}

static void ui_panes_buildable_init(GtkBuildableIface *iface)
{
    parent_buildable = g_type_interface_peek_parent(iface);
    iface->add_child = ui_panes_add_child;
}

bool ui_panes_get_narrow(UiPanes *self)
{
    return adw_leaflet_get_folded(self->leaflet);
}

bool ui_panes_get_end_over(UiPanes *self)
{
    return adw_flap_get_folded(self->flap);
}

bool ui_panes_get_end_shown(UiPanes *self)
{
    return adw_flap_get_reveal_flap(self->flap);
}

void ui_panes_set_end_shown(UiPanes *self, bool shown)
{
    adw_flap_set_reveal_flap(self->flap, shown);
}

bool ui_panes_get_content_shown(UiPanes *self)
{
    return adw_leaflet_get_visible_child(self->leaflet) == GTK_WIDGET(self->flap);
}

void ui_panes_set_content_shown(UiPanes *self, bool shown)
{
    adw_leaflet_set_visible_child(self->leaflet, shown ? GTK_WIDGET(self->flap) : self->sidebar);
}

/* In a narrow window the pane at the end takes all of it: a finger's breadth of what lies under it serves nobody. */
static void on_folded(UiPanes *self)
{
    if (self->end != NULL) gtk_widget_set_hexpand(self->end, ui_panes_get_narrow(self));
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_NARROW]);
}

static void on_end_folded(UiPanes *self) { g_object_notify_by_pspec(G_OBJECT(self), props[PROP_END_OVER]); }
static void on_end_revealed(UiPanes *self) { g_object_notify_by_pspec(G_OBJECT(self), props[PROP_END_SHOWN]); }
static void on_visible_child(UiPanes *self) { g_object_notify_by_pspec(G_OBJECT(self), props[PROP_CONTENT_SHOWN]); }

static void ui_panes_get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    UiPanes *self = UI_PANES(object);
    switch (id) {
    case PROP_NARROW: g_value_set_boolean(value, ui_panes_get_narrow(self)); break;
    case PROP_END_OVER: g_value_set_boolean(value, ui_panes_get_end_over(self)); break;
    case PROP_END_SHOWN: g_value_set_boolean(value, ui_panes_get_end_shown(self)); break;
    case PROP_CONTENT_SHOWN: g_value_set_boolean(value, ui_panes_get_content_shown(self)); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void ui_panes_set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    UiPanes *self = UI_PANES(object);
    switch (id) {
    case PROP_END_SHOWN: ui_panes_set_end_shown(self, g_value_get_boolean(value)); break;
    case PROP_CONTENT_SHOWN: ui_panes_set_content_shown(self, g_value_get_boolean(value)); break;
    default: G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void ui_panes_dispose(GObject *object)
{
    UiPanes *self = UI_PANES(object);
    if (self->leaflet != NULL) gtk_widget_unparent(GTK_WIDGET(self->leaflet));
    self->leaflet = NULL;
    G_OBJECT_CLASS(ui_panes_parent_class)->dispose(object);
}

static void ui_panes_class_init(UiPanesClass *class)
{
    G_OBJECT_CLASS(class)->dispose = ui_panes_dispose;
    G_OBJECT_CLASS(class)->get_property = ui_panes_get_property;
    G_OBJECT_CLASS(class)->set_property = ui_panes_set_property;
    props[PROP_NARROW] = g_param_spec_boolean("narrow", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    props[PROP_END_OVER] = g_param_spec_boolean("end-over", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    props[PROP_END_SHOWN] =
        g_param_spec_boolean("end-shown", NULL, NULL, TRUE, G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
    props[PROP_CONTENT_SHOWN] =
        g_param_spec_boolean("content-shown", NULL, NULL, TRUE, G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
    g_object_class_install_properties(G_OBJECT_CLASS(class), N_PROPS, props);
    gtk_widget_class_set_layout_manager_type(GTK_WIDGET_CLASS(class), GTK_TYPE_BIN_LAYOUT);
}

static void ui_panes_init(UiPanes *self)
{
    self->leaflet = ADW_LEAFLET(adw_leaflet_new());
    adw_leaflet_set_can_navigate_back(self->leaflet, TRUE);
    gtk_widget_set_parent(GTK_WIDGET(self->leaflet), GTK_WIDGET(self));
    GtkWidget *separator = gtk_separator_new(GTK_ORIENTATION_VERTICAL);
    AdwLeafletPage *page = adw_leaflet_append(self->leaflet, separator);
    adw_leaflet_page_set_navigatable(page, FALSE);
    self->flap = ADW_FLAP(adw_flap_new());
    adw_flap_set_flap_position(self->flap, GTK_PACK_END);
    adw_flap_set_separator(self->flap, gtk_separator_new(GTK_ORIENTATION_VERTICAL));
    gtk_widget_set_hexpand(GTK_WIDGET(self->flap), TRUE);
    adw_leaflet_append(self->leaflet, GTK_WIDGET(self->flap));
    g_signal_connect_swapped(self->leaflet, "notify::folded", G_CALLBACK(on_folded), self);
    g_signal_connect_swapped(self->leaflet, "notify::visible-child", G_CALLBACK(on_visible_child), self);
    g_signal_connect_swapped(self->flap, "notify::folded", G_CALLBACK(on_end_folded), self);
    g_signal_connect_swapped(self->flap, "notify::reveal-flap", G_CALLBACK(on_end_revealed), self);
}
