/* SPDX-License-Identifier: MIT */
/*
 * A Mandelbulb over still water, found by sphere tracing and lit by one low sun and the sky.
 *
 * render() adds one sample to every pixel of an accumulation buffer, develop() turns the sums
 * into 8 bit colour. Every distance is in units of the bulb's radius, +y is up.
 */

#define STEPS_MAX   180
#define ITERATIONS  7
#define FAR	    24.0f
#define WATER_LEVEL -1.12f

#define SUN_DIRECTION normalize((float3)(-0.62f, 0.42f, -0.52f))
#define SUN_COLOUR    ((float3)(1.00f, 0.72f, 0.46f) * 3.4f)

struct hit {
	float distance; /* FAR or more: nothing was met */
	float4 trap;	/* how near the orbit came to the axes' planes and to the origin */
	float closest;	/* smallest angle between the ray and the bulb it missed */
};

static float2 complex_square(float2 a)
{
	return (float2)(a.x * a.x - a.y * a.y, 2.0f * a.x * a.y);
}

/*
 * The eighth power multiplies a point's longitude and latitude by eight: as complex numbers of
 * their own, both are squared three times, and no angle is ever computed.
 */
static float3 bulb_power(float3 p)
{
	float rho = sqrt(p.x * p.x + p.z * p.z) + 1e-9f;
	float2 latitude = (float2)(rho, p.y);
	float2 longitude = (float2)(p.x, p.z) / rho;

	for (int i = 0; i < 3; i++) {
		latitude = complex_square(latitude);
		longitude = complex_square(longitude);
	}
	return (float3)(latitude.x * longitude.x, latitude.y, latitude.x * longitude.y);
}

static float bulb_distance(float3 c, float4 *trap)
{
	float3 p = c;
	float r2 = dot(p, p), derivative = 1.0f;

	*trap = (float4)(fabs(p), r2);
	for (int i = 0; i < ITERATIONS && r2 < 16.0f; i++) {
		float r = sqrt(r2);

		derivative = 8.0f * r2 * r2 * r2 * r * derivative + 1.0f;
		p = bulb_power(p) + c;
		r2 = dot(p, p);
		*trap = fmin(*trap, (float4)(fabs(p), r2));
	}
	return 0.25f * log(r2) * sqrt(r2) / derivative;
}

/* Where the ray enters a sphere around the bulb; false: it passes it by. */
static bool bulb_bound(float3 origin, float3 direction, float *near, float *far)
{
	float b = dot(origin, direction);
	float disc = b * b - dot(origin, origin) + 1.25f * 1.25f;

	if (disc <= 0.0f)
		return false;
	disc = sqrt(disc);
	*near = fmax(-b - disc, 0.0f);
	*far = -b + disc;
	return *far > 0.0f;
}

static struct hit bulb_trace(float3 origin, float3 direction, float pixel)
{
	struct hit hit = {.distance = FAR, .trap = (float4)(1.0f), .closest = 1.0f};
	float near, far;

	if (!bulb_bound(origin, direction, &near, &far))
		return hit;
	for (int i = 0; i < STEPS_MAX && near < far; i++) {
		float d = bulb_distance(origin + near * direction, &hit.trap);

		hit.closest = fmin(hit.closest, d / near);
		if (d < pixel * near) {
			hit.distance = near;
			break;
		}
		near += d;
	}
	return hit;
}

/* The part of the sun's disc that is seen from here: 0 none, 1 all of it. */
static float sunlight(float3 origin)
{
	float near, far, seen = 1.0f;
	float4 trap;

	if (!bulb_bound(origin, SUN_DIRECTION, &near, &far))
		return 1.0f;
	near = fmax(near, 0.004f);
	for (int i = 0; i < 64 && near < far && seen > 0.01f; i++) {
		float d = bulb_distance(origin + near * SUN_DIRECTION, &trap);

		seen = fmin(seen, 28.0f * d / near);
		near += clamp(d, 0.004f, 0.12f);
	}
	seen = clamp(seen, 0.0f, 1.0f);
	return seen * seen * (3.0f - 2.0f * seen);
}

static float3 bulb_normal(float3 p, float epsilon)
{
	const float2 e = (float2)(epsilon, -epsilon);
	float4 trap;

	return normalize(
		e.xyy * bulb_distance(p + e.xyy, &trap) + e.yyx * bulb_distance(p + e.yyx, &trap) +
		e.yxy * bulb_distance(p + e.yxy, &trap) + e.xxx * bulb_distance(p + e.xxx, &trap));
}

static float bulb_occlusion(float3 p, float3 normal)
{
	float open = 0.0f, weight = 0.55f;
	float4 trap;

	for (int i = 1; i <= 5; i++) {
		float step = 0.018f * i * i;

		open += weight * clamp(bulb_distance(p + step * normal, &trap) / step, 0.0f, 1.0f);
		weight *= 0.62f;
	}
	return clamp(open, 0.0f, 1.0f);
}

static float3 sky(float3 direction)
{
	float sun = fmax(dot(direction, SUN_DIRECTION), 0.0f);
	float up = fmax(direction.y, 0.0f);
	float3 colour = mix((float3)(0.93f, 0.55f, 0.36f), (float3)(0.08f, 0.15f, 0.33f),
			    1.0f - exp(-4.2f * up));

	colour += (float3)(1.0f, 0.55f, 0.22f) * (0.35f * pow(sun, 12.0f));
	return colour + (float3)(1.0f, 0.85f, 0.6f) * (6.0f * pow(sun, 1400.0f));
}

static float3 bulb_colour(float4 trap)
{
	float3 colour = (float3)(0.86f, 0.66f, 0.42f);

	colour = mix(colour, (float3)(0.11f, 0.34f, 0.50f), clamp(pow(trap.w, 1.6f), 0.0f, 1.0f));
	colour = mix(colour, (float3)(0.78f, 0.20f, 0.12f), clamp(1.4f * trap.x, 0.0f, 1.0f));
	colour = mix(colour, (float3)(0.95f, 0.86f, 0.62f),
		     clamp(1.1f * trap.y * trap.y, 0.0f, 1.0f));
	return colour * colour;
}

static float3 bulb_shade(float3 p, float3 direction, float4 trap, float epsilon)
{
	float3 normal = bulb_normal(p, epsilon);
	float3 albedo = bulb_colour(trap);
	float open = bulb_occlusion(p, normal);
	float facing = fmax(dot(normal, SUN_DIRECTION), 0.0f);
	float3 half_way = normalize(SUN_DIRECTION - direction);
	float3 light = (float3)(0.42f, 0.52f, 0.80f) * (open * (0.65f + 0.35f * normal.y));
	float edge = pow(1.0f - fmax(-dot(normal, direction), 0.0f), 4.0f);
	float3 shine = (float3)(0.0f);

	light += (float3)(0.50f, 0.26f, 0.14f) * (open * fmax(-normal.y, 0.0f));
	if (facing > 0.0f) {
		float seen = sunlight(p + 2.0f * epsilon * normal);

		light += SUN_COLOUR * (facing * seen);
		shine = SUN_COLOUR * (seen * 0.5f * pow(fmax(dot(normal, half_way), 0.0f), 48.0f));
	}
	return albedo * light + shine +
	       sky((float3)(normal.x, fabs(normal.y), normal.z)) * (0.35f * edge * open);
}

/* Small waves as the slope of a few crossing sines; they calm down in the distance. */
static float3 water_normal(float2 p, float distance)
{
	float calm = 0.055f / (1.0f + 0.10f * distance * distance);
	float2 slope = (float2)(0.0f);
	float2 along = (float2)(0.8f, 0.6f);
	float frequency = 5.0f;

	for (int i = 0; i < 5; i++) {
		slope += along * cos(frequency * dot(along, p) + 1.7f * i);
		along = (float2)(0.28f * along.x - 0.96f * along.y,
				 0.96f * along.x + 0.28f * along.y);
		frequency *= 1.37f;
	}
	return normalize((float3)(-calm * slope.x, 1.0f, -calm * slope.y));
}

static float3 dry_colour(float3 origin, float3 direction, float pixel)
{
	struct hit hit = bulb_trace(origin, direction, pixel);
	float3 glow = (float3)(1.0f, 0.62f, 0.35f) * (0.10f * exp(-60.0f * hit.closest));

	if (hit.distance >= FAR)
		return sky(direction) + glow;
	return bulb_shade(origin + hit.distance * direction, direction, hit.trap,
			  0.5f * pixel * hit.distance);
}

static float3 water_colour(float3 origin, float3 direction, float distance, float pixel)
{
	float3 p = origin + distance * direction;
	float3 normal = water_normal(p.xz, distance);
	float3 mirror = direction - 2.0f * dot(direction, normal) * normal;
	float fresnel = 0.03f + 0.97f * pow(1.0f - fmax(-dot(direction, normal), 0.0f), 5.0f);
	float3 deep = (float3)(0.010f, 0.050f, 0.075f) * (0.35f + 0.65f * sunlight(p));
	float haze = 1.0f - exp(-0.0022f * distance * distance);
	float3 colour;

	mirror.y = fabs(mirror.y);
	colour = deep + dry_colour(p, mirror, 2.0f * pixel) * fmax(fresnel, 0.12f);
	return mix(colour, sky((float3)(direction.x, 0.0f, direction.z)), haze);
}

static float3 scene_colour(float3 origin, float3 direction, float pixel)
{
	float water = direction.y < -1e-4f ? (WATER_LEVEL - origin.y) / direction.y : FAR * FAR;
	struct hit hit;

	if (direction.y >= -1e-4f)
		return dry_colour(origin, direction, pixel);
	hit = bulb_trace(origin, direction, pixel);
	if (hit.distance < fmin(water, FAR))
		return bulb_shade(origin + hit.distance * direction, direction, hit.trap,
				  0.5f * pixel * hit.distance);
	return water_colour(origin, direction, water, pixel);
}

/* The ray of a point on the film; film.y runs from -1 (bottom) to 1 (top). */
static float3 camera_direction(float3 eye, float3 target, float2 film)
{
	float3 forward = normalize(target - eye);
	float3 right = normalize(cross((float3)(0.0f, 1.0f, 0.0f), forward));
	float3 up = cross(forward, right);

	return normalize(film.x * right + film.y * up + 2.05f * forward);
}

__kernel void render(__global float4 *sum, int width, int height, float2 jitter)
{
	const float3 eye = (float3)(1.35f, 0.10f, -3.05f);
	const float3 target = (float3)(0.0f, -0.14f, 0.0f);
	int x = get_global_id(0), y = get_global_id(1);
	float2 film, size = (float2)(width, height);
	float3 direction;

	if (x >= width || y >= height)
		return;
	film = (2.0f * ((float2)(x, height - 1 - y) + jitter) - size) / height;
	direction = camera_direction(eye, target, film);
	sum[y * width + x] += (float4)(scene_colour(eye, direction, 0.7f / height), 1.0f);
}

__kernel void develop(__global const float4 *sum, __global uchar *rgb, int width, int height)
{
	int x = get_global_id(0), y = get_global_id(1);
	float2 at = (float2)(2.0f * x / width - 1.0f, 2.0f * y / height - 1.0f);
	float4 total;
	float3 colour;

	if (x >= width || y >= height)
		return;
	total = sum[y * width + x];
	colour = total.xyz / total.w * (1.0f - 0.16f * dot(at, at));
	colour = colour * (2.51f * colour + 0.03f) / (colour * (2.43f * colour + 0.59f) + 0.14f);
	colour = 255.0f * pow(clamp(colour, 0.0f, 1.0f), (float3)(1.0f / 2.2f)) + 0.5f;
	vstore3(convert_uchar3_sat(colour), y * width + x, rgb);
}
